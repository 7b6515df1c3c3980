import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { cancelAiJob } from "../../jobs/cancel.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const CancelAiJobInput = builder.inputType("CancelAiJobInput", {
  description: "Which job to call off, and why.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "The job." }),
    reason: t.string({ required: true, validate: boundedText(2000), description: "Why; 1 to 2,000 characters." }),
    includeChildren: t.boolean({
      required: true,
      defaultValue: false,
      description: "All its descendants as well, in the same transaction; those that have ended stand as they are.",
    }),
  }),
});

const CancelAiJobPayload = builder.objectRef<{ readonly job: Job }>("CancelAiJobPayload").implement({
  description: "The job is cancelled.",
  isTypeOf: isPayloadWith("job"),
  fields: (t) => ({ job: t.expose("job", { type: AiJob, description: "The job, CANCELLED." }) }),
});

builder.mutationField("cancelAiJob", (t) =>
  t.errorUnionField({
    description: "Calls a job off. A worker busy with it hears STOP_CANCELLED at its next call (section 6).",
    types: [
      CancelAiJobPayload,
      ...errorTypes<
        errors.NotFoundError | errors.IllegalTransitionError | errors.JobPoisonedError,
        errors.InvalidInputError
      >()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of cancelAiJob." },
    args: { input: t.arg({ type: CancelAiJobInput, required: true, description: "Which job, and why." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      job: orThrow(await cancelAiJob(engine, viewer.workspaceId, viewer.actor, input)),
    }),
  }),
);
