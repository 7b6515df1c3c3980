import type { Claim } from "../../claims/acquire-lease.ts";
import { builder } from "../builder.ts";
import { AiJob } from "./ai-job.ts";
import { WorkflowRun } from "./workflow-run.ts";

export const WorkflowClaim = builder.objectRef<Claim>("WorkflowClaim").implement({
  description: "A job that a worker holds.",
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job, RUNNING." }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run to report on.", resolve: ({ run }) => run }),
    leaseToken: t.exposeString("leaseToken", {
      description: "Proves the lease in every report. Shown here and never again; a secret.",
    }),
    leaseExpiresAt: t.field({
      type: "DateTime",
      description: "When the lease ends unless a heartbeat renews it.",
      resolve: ({ run }) => run.leaseExpiresAt ?? run.startedAt,
    }),
  }),
});
