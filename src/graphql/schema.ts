import { builder } from "./builder.ts";
import "./scalars.ts";
import "./errors.ts";
import "./job-lists.ts";
import "./ai-job-stats.ts";
import "./capability-profile.ts";
import "./quotas.ts";
import "./submit-ai-job.ts";
import "./start-workflow.ts";
import "./claim-ai-jobs.ts";
import "./heartbeat-workflows.ts";
import "./advance-workflow.ts";
import "./complete-workflows.ts";
import "./fail-workflow.ts";
import "./resolve-validation.ts";
import "./resolve-user-review.ts";
import "./cancel-ai-job.ts";
import "./retry-ai-job.ts";
import "./bulk-actions.ts";
import "./security-violation.ts";
import "./ai-job-changes.ts";

builder.queryType({ description: "Reads; nothing here changes anything." });
builder.mutationType({
  description:
    "Changes. Each takes one input and answers a union of one payload and the errors that a caller can act on; each " +
    "commits as a whole or not at all.",
});
builder.subscriptionType({
  description:
    "Live, over SSE on the same endpoint (graphql-sse protocol) and over WebSocket (graphql-ws) (section 10).",
});

/** The API. `npm run schema:print` writes it to schema.graphql. */
export const schema = builder.toSchema();
