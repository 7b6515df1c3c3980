import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { retryAiJob } from "../../jobs/retry.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const RetryAiJobInput = builder.inputType("RetryAiJobInput", {
  description: "Which job to retry.",
  fields: (t) => ({ jobId: t.field({ type: "UUID", required: true, description: "The job's id." }) }),
});

const RetryAiJobPayload = builder.objectRef<{ readonly job: Job }>("RetryAiJobPayload").implement({
  description: "The job is queued again.",
  isTypeOf: isPayloadWith("job"),
  fields: (t) => ({ job: t.expose("job", { type: AiJob, description: "The job, now QUEUED." }) }),
});

builder.mutationField("retryAiJob", (t) =>
  t.errorUnionField({
    permission: "JOBS_OPERATE",
    description:
      "Queues a FAILED or STALLED job again, due at once, even if no attempts are left. A POISONED job and a job over its " +
      "token budget cannot be retried (section 6).",
    types: [
      RetryAiJobPayload,
      ...errorTypes<ErrorsOf<typeof retryAiJob>>()(
        errors.NotFoundError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.BudgetExceededError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of retryAiJob." },
    args: { input: t.arg({ type: RetryAiJobInput, required: true, description: "Which job." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      job: orThrow(await retryAiJob(engine, viewer.workspaceId, viewer.actor, input.jobId)),
    }),
  }),
);
