import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type CancelAiJob, cancelAiJob } from "../../jobs/cancel.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const CancelAiJobInput = builder.inputType("CancelAiJobInput", {
  description: "Which job to cancel, and why.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "The job's id." }),
    reason: t.string({
      required: true,
      validate: boundedText(2000),
      description: "Why the job is cancelled; 1 to 2,000 characters.",
    }),
    includeChildren: t.boolean({
      required: true,
      defaultValue: false,
      description: "Cancels all descendants as well, in the same transaction; those that have ended stay as they are.",
    }),
  }),
});

const CancelAiJobPayload = builder.objectRef<{ readonly job: Job }>("CancelAiJobPayload").implement({
  description: "The job is cancelled.",
  isTypeOf: isPayloadWith("job"),
  fields: (t) => ({ job: t.expose("job", { type: AiJob, description: "The job, now CANCELLED." }) }),
});

builder.mutationField("cancelAiJob", (t) =>
  t.errorUnionField({
    permission: "JOBS_OPERATE",
    description:
      "Cancels a job. A worker that is running it gets the directive STOP_CANCELLED at its next report (section 6).",
    types: [
      CancelAiJobPayload,
      ...errorTypes<ErrorsOf<typeof cancelAiJob>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of cancelAiJob." },
    args: { input: t.arg({ type: CancelAiJobInput, required: true, description: "Which job, and why." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      job: orThrow(await cancelAiJob(engine, viewer.workspaceId, viewer.actor, exact<CancelAiJob>()(input))),
    }),
  }),
);
