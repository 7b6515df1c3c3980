import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type ResolveUserReview, resolveUserReview } from "../../review/user-review.ts";
import { builder } from "../builder.ts";
import { ReviewDecisionEnum } from "../enums.ts";
import { comment } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const ResolveUserReviewInput = builder.inputType("ResolveUserReviewInput", {
  description: "A person's decision on outputs.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "A job that is AWAITING_USER." }),
    decision: t.field({ type: ReviewDecisionEnum, required: true, description: "The decision." }),
    comment: t.string(comment),
  }),
});

const ResolveUserReviewPayload = builder.objectRef<{ readonly job: Job }>("ResolveUserReviewPayload").implement({
  description: "The decision is stored.",
  isTypeOf: isPayloadWith("job"),
  fields: (t) => ({ job: t.expose("job", { type: AiJob, description: "The job after the decision." }) }),
});

builder.mutationField("resolveUserReview", (t) =>
  t.errorUnionField({
    permission: "REVIEWS_DECIDE",
    description:
      "Records a person's decision on a job that a verdict referred to a person: accept it, with or without issues, send " +
      "it back, or cancel it. The event says who decided and why (section 6).",
    types: [
      ResolveUserReviewPayload,
      ...errorTypes<ErrorsOf<typeof resolveUserReview>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.CapabilityDeniedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of resolveUserReview." },
    args: {
      input: t.arg({ type: ResolveUserReviewInput, required: true, description: "Which job, and the decision." }),
    },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const decision = exact<ResolveUserReview>()({ ...input, comment: input.comment ?? null });
      return { job: orThrow(await resolveUserReview(engine, viewer.workspaceId, viewer.actor, decision)) };
    },
  }),
);
