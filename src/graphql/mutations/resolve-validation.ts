import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type ResolveValidation, resolveValidation } from "../../review/verdict.ts";
import { builder } from "../builder.ts";
import { ValidationVerdictEnum } from "../enums.ts";
import { comment } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const ResolveValidationInput = builder.inputType("ResolveValidationInput", {
  description: "A verdict on outputs.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "A job that is AWAITING_VALIDATION." }),
    verdict: t.field({ type: ValidationVerdictEnum, required: true, description: "The verdict." }),
    comment: t.string(comment),
  }),
});

const ResolveValidationPayload = builder.objectRef<{ readonly job: Job }>("ResolveValidationPayload").implement({
  description: "The verdict is stored.",
  isTypeOf: isPayloadWith("job"),
  fields: (t) => ({ job: t.expose("job", { type: AiJob, description: "The job after the verdict." }) }),
});

builder.mutationField("resolveValidation", (t) =>
  t.errorUnionField({
    permission: "REVIEWS_DECIDE",
    description:
      "Records the verdict on a job whose worker asked for one. The event says who gave it and why (section 6).",
    types: [
      ResolveValidationPayload,
      ...errorTypes<ErrorsOf<typeof resolveValidation>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.CapabilityDeniedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of resolveValidation." },
    args: {
      input: t.arg({ type: ResolveValidationInput, required: true, description: "Which job, and the verdict." }),
    },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const verdict = exact<ResolveValidation>()({ ...input, comment: input.comment ?? null });
      return { job: orThrow(await resolveValidation(engine, viewer.workspaceId, viewer.actor, verdict)) };
    },
  }),
);
