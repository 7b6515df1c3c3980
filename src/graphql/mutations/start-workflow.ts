import type { Claim } from "../../claims/acquire-lease.ts";
import { type SentStart, startWorkflow } from "../../claims/start.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { builder } from "../builder.ts";
import { leaseSeconds, workerId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { JobPoisoned } from "../types/job-poisoned.ts";
import { WorkflowClaim } from "../types/workflow-claim.ts";

const StartWorkflowInput = builder.inputType("StartWorkflowInput", {
  description: "Which job a worker claims.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "The id of a job that is QUEUED and due." }),
    workerId: t.string(workerId),
    leaseSeconds: t.int(leaseSeconds),
  }),
});

const StartWorkflowPayload = builder.objectRef<Claim>("StartWorkflowPayload").implement({
  description: "The worker has claimed the job.",
  isTypeOf: isPayloadWith("leaseToken"),
  fields: (t) => ({
    claim: t.field({ type: WorkflowClaim, description: "The job, its run and the lease.", resolve: (claim) => claim }),
  }),
});

builder.mutationField("startWorkflow", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    description:
      "Claims one named job. Guards check its inputs before it is delivered; a security violation poisons it and answers " +
      "JobPoisoned (section 6). Before the job's runAfter the answer is TRY_AGAIN, whose message names that time. A key that is " +
      "limited to other kinds is FORBIDDEN to start it.",
    types: [
      StartWorkflowPayload,
      JobPoisoned,
      ...errorTypes<ErrorsOf<typeof startWorkflow>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.ForbiddenError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.CapabilityDeniedError,
        errors.BudgetExceededError,
        errors.GuardFailedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of startWorkflow." },
    args: {
      input: t.arg({ type: StartWorkflowInput, required: true, description: "Which job, and for which worker." }),
    },
    resolve: async (_root, { input }, { engine, viewer, readable }) => {
      const { name: principalId, jobKinds } = viewer.principal;
      const start = exact<SentStart>()({ ...input, principalId, jobKinds });
      const started = orThrow(await startWorkflow(engine, viewer.workspaceId, start));
      if ("leaseToken" in started) readable.hold(started.job);
      return started;
    },
  }),
);
