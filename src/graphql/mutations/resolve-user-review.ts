import type { AiJob as Job } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedJson } from "../../jobs/input-text.ts";
import { type ResolveUserReview, resolveUserReview } from "../../review/user-review.ts";
import { builder } from "../builder.ts";
import { ReviewDecisionEnum } from "../enums.ts";
import { comment, PAYLOAD_BYTES } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const ResolveUserReviewInput = builder.inputType("ResolveUserReviewInput", {
  description: "A person's decision on outputs, or the answer to a question.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "A job that is AWAITING_USER." }),
    decision: t.field({ type: ReviewDecisionEnum, required: true, description: "The decision." }),
    comment: t.string(comment),
    answer: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description:
        "The answer to the worker's question, up to 256 KiB; required with ANSWER, and only there. It must be one of the question's " +
        "options, where there are any, and meet its answerSchema.",
    }),
    requestId: t.field({
      type: "UUID",
      description:
        "The question that is meant: INVALID_INPUT where the job waits with another one by now. If left out, any.",
    }),
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
      "Records a person's decision on a job that is AWAITING_USER: accept its outputs, with or without issues, send it back, cancel it, " +
      "or answer its worker's question. What the job waits for (waitsFor) says which decisions are open; any other is INVALID_INPUT. The " +
      "event says who decided and why (sections 6 and 13).",
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
      const decision = exact<ResolveUserReview>()({
        ...input,
        comment: input.comment ?? null,
        answer: input.answer ?? null,
      });
      return { job: orThrow(await resolveUserReview(engine, viewer.workspaceId, viewer.actor, decision)) };
    },
  }),
);
