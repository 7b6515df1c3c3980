import type { Claim } from "../../claims/acquire-lease.ts";
import { builder } from "../builder.ts";
import { AiJob } from "./ai-job.ts";
import { WorkflowRun } from "./workflow-run.ts";

export const WorkflowClaim = builder.objectRef<Claim>("WorkflowClaim").implement({
  description: "A job that a worker has claimed: the job, the run and the lease.",
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job, now RUNNING." }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run to report on.", resolve: ({ run }) => run }),
    leaseToken: t.exposeString("leaseToken", {
      description:
        "The secret that proves the lease in every report. It is shown here only, and stored as a hash (section 9).",
    }),
    leaseExpiresAt: t.field({
      type: "DateTime",
      description: "When the lease ends unless a heartbeat renews it.",
      resolve: ({ run }) => run.leaseExpiresAt ?? run.startedAt,
    }),
  }),
});
