import { builder } from "./builder.ts";
import "./scalars.ts";
import "./errors.ts";
import "./types/job-times.ts";
import "./types/usage-fields.ts";
import "./types/user-input-request.ts";
import "./queries/ai-job.ts";
import "./queries/ai-job-by-idempotency-key.ts";
import "./queries/ai-jobs.ts";
import "./queries/ai-job-stats.ts";
import "./queries/ai-job-usage.ts";
import "./queries/workflow-run.ts";
import "./queries/workflow-runs.ts";
import "./queries/workers.ts";
import "./queries/bulk-actions.ts";
import "./queries/flight-recorder-events.ts";
import "./queries/capability-profiles.ts";
import "./queries/quotas.ts";
import "./queries/viewer.ts";
import "./queries/workspaces.ts";
import "./queries/api-keys.ts";
import "./mutations/submit-ai-job.ts";
import "./mutations/start-workflow.ts";
import "./mutations/claim-ai-jobs.ts";
import "./mutations/heartbeat-workflows.ts";
import "./mutations/advance-workflow.ts";
import "./mutations/complete-workflows.ts";
import "./mutations/fail-workflows.ts";
import "./mutations/release-workflows.ts";
import "./mutations/request-user-input.ts";
import "./mutations/resolve-validation.ts";
import "./mutations/resolve-user-review.ts";
import "./mutations/cancel-ai-job.ts";
import "./mutations/cancel-ai-jobs.ts";
import "./mutations/retry-ai-job.ts";
import "./mutations/retry-ai-jobs.ts";
import "./mutations/report-security-violation.ts";
import "./mutations/report-usage.ts";
import "./mutations/set-quota.ts";
import "./mutations/delete-quota.ts";
import "./mutations/set-usage-labels.ts";
import "./mutations/create-workspace.ts";
import "./mutations/update-workspace.ts";
import "./mutations/create-api-key.ts";
import "./mutations/rotate-api-key.ts";
import "./mutations/revoke-api-key.ts";
import "./mutations/append-output.ts";
import "./subscriptions/ai-job-changes.ts";
import "./subscriptions/ai-job-output.ts";
import "./subscriptions/worker-directives.ts";

/**
 * The root types. Their fields register themselves when the files above are imported: one file for each field; the two
 * subscriptions to jobs share one.
 */

builder.queryType({ description: "Reads. A query changes nothing." });
builder.mutationType({
  description:
    "Changes. Each mutation takes one input and returns a union of one payload and the errors that a caller can act on. " +
    "Each commits as a whole or not at all, unless its description says otherwise.",
});
builder.subscriptionType({
  description:
    "Live changes, over SSE on the same endpoint (graphql-sse protocol) or over WebSocket (graphql-ws) (section 10).",
});

/** The API. `npm run schema:print` writes it to schema.graphql. */
export const schema = Object.assign(builder.toSchema(), {
  description:
    "The AI Job Server: the system of record for AI jobs. Submit a job with `submitAiJob`, let a worker claim it with " +
    "`claimAiJobs` and report with `advanceWorkflow`, `heartbeatWorkflows` and `completeWorkflows`, and watch it with " +
    "`aiJobChanged`. Sections are those of docs/ai-job-model.md.",
});
