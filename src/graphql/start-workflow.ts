import * as errors from "../errors.ts";
import { text } from "../jobs/text.ts";
import { type Claim, startWorkflow } from "../workflow/start.ts";
import { AiJob } from "./ai-job.ts";
import { builder } from "./builder.ts";
import { leaseSeconds } from "./inputs.ts";
import { isPayloadWith, orThrow } from "./result.ts";
import { JobPoisoned } from "./security-violation.ts";
import { WorkflowRun } from "./workflow-run.ts";

const StartWorkflowInput = builder.inputType("StartWorkflowInput", {
  description: "Which job a worker takes.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "A job that is QUEUED and due." }),
    workerId: t.string({
      required: true,
      validate: text(200),
      description: "The worker's own name, which the events of its reports carry; 1 to 200 characters.",
    }),
    leaseSeconds: t.int(leaseSeconds),
  }),
});

const WorkflowClaim = builder.objectRef<Claim>("WorkflowClaim").implement({
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

const StartWorkflowPayload = builder.objectRef<Claim>("StartWorkflowPayload").implement({
  description: "The worker holds the job.",
  isTypeOf: isPayloadWith("leaseToken"),
  fields: (t) => ({
    claim: t.field({ type: WorkflowClaim, description: "The job and the lease.", resolve: (claim) => claim }),
  }),
});

builder.mutationField("startWorkflow", (t) =>
  t.errorUnionField({
    description:
      "Takes one named job. Its inputs are guarded before the token is handed out; a trap commits POISONED and answers " +
      "JobPoisoned (section 6).",
    types: [
      StartWorkflowPayload,
      JobPoisoned,
      errors.NotFoundError,
      errors.InvalidInputError,
      errors.IllegalTransitionError,
      errors.JobPoisonedError,
      errors.CapabilityDeniedError,
      errors.GuardFailedError,
      errors.TryAgainError,
    ],
    union: { description: "What came of startWorkflow." },
    args: { input: t.arg({ type: StartWorkflowInput, required: true, description: "Which job, and who takes it." }) },
    resolve: async (_root, { input }, { engine, viewer }) =>
      orThrow(await startWorkflow(engine, viewer.workspaceId, input)),
  }),
);
