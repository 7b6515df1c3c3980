import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { retryAiJob } from "../../jobs/retry.ts";
import { builder } from "../builder.ts";
import { errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const RetryAiJobInput = builder.inputType("RetryAiJobInput", {
  description: "Which job to try again.",
  fields: (t) => ({ jobId: t.field({ type: "UUID", required: true, description: "The job." }) }),
});

const RetryAiJobPayload = builder.objectRef<{ readonly job: Job }>("RetryAiJobPayload").implement({
  description: "The job waits for a worker again.",
  isTypeOf: isPayloadWith("job"),
  fields: (t) => ({ job: t.expose("job", { type: AiJob, description: "The job, QUEUED." }) }),
});

builder.mutationField("retryAiJob", (t) =>
  t.errorUnionField({
    description:
      "Queues a job again that is FAILED or STALLED, to be taken at once. A person may always retry, whatever attempts " +
      "are left; but a POISONED job never, and none whose tokens have passed its budget (section 6).",
    types: [
      RetryAiJobPayload,
      ...errorTypes<
        errors.NotFoundError | errors.IllegalTransitionError | errors.JobPoisonedError | errors.BudgetExceededError
      >()(
        errors.NotFoundError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.BudgetExceededError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of retryAiJob." },
    args: { input: t.arg({ type: RetryAiJobInput, required: true, description: "Which job." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      job: orThrow(await retryAiJob(engine, viewer.workspaceId, viewer.actor, input.jobId)),
    }),
  }),
);
