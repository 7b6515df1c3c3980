import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import { ANSWER_SCHEMA_BYTES } from "../../runs/answer-schema.ts";
import { type Asked, type RequestUserInput, requestUserInput } from "../../runs/ask.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { deltaOf, PAYLOAD_BYTES, reportId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { JobPoisoned } from "../types/job-poisoned.ts";
import { withDocuments } from "../types/relations.ts";
import { UserInputRequest } from "../types/user-input-request.ts";
import { senderOf } from "../viewer.ts";

const RequestUserInputInput = builder.inputType("RequestUserInputInput", {
  description: "A worker's question to a person.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    question: t.string({
      required: true,
      validate: boundedText(10_000),
      description: "The question, for a person; 1 to 10,000 characters.",
    }),
    payload: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description: "What belongs to the question, for whoever shows it; up to 256 KiB.",
    }),
    options: t.stringList({
      required: true,
      defaultValue: [],
      validate: z.array(boundedText(500)).max(100),
      description: "The answers to choose from, up to 100 of 1 to 500 characters; empty: any answer.",
    }),
    answerSchema: t.field({
      type: "JSON",
      validate: boundedJson(ANSWER_SCHEMA_BYTES),
      description:
        "The JSON Schema (draft 2020-12) that the answer must meet, up to 16 KiB. A reference leads to a place in the schema itself; " +
        "patterns are those of RE2, without look-arounds and back-references.",
    }),
    expiresAt: t.field({
      type: "DateTime",
      description: "When the job fails without an answer, with the reason user_input_timeout. If left out, never.",
    }),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
  }),
});

const RequestUserInputPayload = builder.objectRef<Asked>("RequestUserInputPayload").implement({
  description: "The job waits for the answer.",
  isTypeOf: isPayloadWith("request"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job, now AWAITING_USER.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    request: t.expose("request", { type: UserInputRequest, description: "The question, as it is stored." }),
  }),
});

builder.mutationField("requestUserInput", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    description:
      "Asks a person in the middle of a run: the job is AWAITING_USER, and the run loses its lease. resolveUserReview(ANSWER) queues the " +
      "job again, at first reserved for the same worker, the attempt not charged; its next claim brings the answer (userAnswers) and " +
      "what the steps have done (completedNodes). While it waits, the job takes no place of ACTIVE_JOBS. Guards check the question before " +
      "anything is stored (section 13).",
    types: [
      RequestUserInputPayload,
      JobPoisoned,
      ...errorTypes<ErrorsOf<typeof requestUserInput>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.LeaseLostError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.AccessModeViolationError,
        errors.BudgetExceededError,
        errors.GuardFailedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of requestUserInput." },
    args: { input: t.arg({ type: RequestUserInputInput, required: true, description: "The question." }) },
    resolve: async (_root, { input }, { engine, viewer, readable }) => {
      const report = exact<SentReport<RequestUserInput>>()({
        ...input,
        ...senderOf(viewer),
        payload: input.payload ?? null,
        answerSchema: input.answerSchema ?? null,
        metrics: deltaOf(input.metrics),
      });
      const asked = orThrow(await requestUserInput(engine, report));
      readable.hold(asked.job);
      return asked;
    },
  }),
);
