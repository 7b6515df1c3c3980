import { builder } from "./builder.ts";
import "./scalars.ts";
import "./errors.ts";
import "./queries/ai-jobs.ts";
import "./queries/ai-job-stats.ts";
import "./queries/capability-profiles.ts";
import "./mutations/quotas.ts";
import "./mutations/submit-ai-job.ts";
import "./mutations/start-workflow.ts";
import "./mutations/claim-ai-jobs.ts";
import "./mutations/heartbeat-workflows.ts";
import "./mutations/advance-workflow.ts";
import "./mutations/complete-workflows.ts";
import "./mutations/fail-workflow.ts";
import "./mutations/resolve-validation.ts";
import "./mutations/resolve-user-review.ts";
import "./mutations/cancel-ai-job.ts";
import "./mutations/retry-ai-job.ts";
import "./mutations/bulk-actions.ts";
import "./mutations/report-security-violation.ts";
import "./subscriptions/ai-job-changes.ts";

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
