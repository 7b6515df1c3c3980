import * as errors from "../../errors.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { aceCodeOf, type HandledViolation, reportSecurityViolation } from "../../security/poison.ts";
import { builder } from "../builder.ts";
import { ViolationActionEnum, ViolationTypeEnum } from "../enums.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { FlightRecorderEvent } from "../types/flight-recorder-event.ts";

const ReportSecurityViolationInput = builder.inputType("ReportSecurityViolationInput", {
  description: "A violation that a guard outside this server, or a person, found.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "The job that reads what violates." }),
    violationType: t.field({ type: ViolationTypeEnum, required: true, description: "What sort of finding." }),
    guardName: t.string({
      required: true,
      validate: boundedText(200),
      description: "Who found it; 1 to 200 characters.",
    }),
    trigger: t.string({
      required: true,
      validate: boundedText(10_000),
      description: "What matched and where, not the content; 200 characters of it are kept, redacted.",
    }),
    description: t.string({
      required: true,
      validate: boundedText(10_000),
      description: "For people; 1,000 characters of it are kept, redacted.",
    }),
    sourceId: t.string({ validate: boundedText(500).nullish(), description: "The source it was found in." }),
  }),
});

const ReportSecurityViolationPayload = builder.objectRef<HandledViolation>("ReportSecurityViolationPayload").implement({
  description: "The report was heard; `actionTaken` says what it did.",
  isTypeOf: isPayloadWith("action"),
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job as it is now." }),
    event: t.expose("event", {
      type: FlightRecorderEvent,
      description: "The event that was written; for ALREADY_POISONED, the one that poisoned the job.",
    }),
    actionTaken: t.field({
      type: ViolationActionEnum,
      description: "What the report did.",
      resolve: ({ action }) => action,
    }),
  }),
});

builder.mutationField("reportSecurityViolation", (t) =>
  t.errorUnionField({
    description:
      "For guards outside this server, and for people: poisons the job in one transaction, with every run and node of " +
      "it, and with its descendants that have not completed or been cancelled (section 5). On a job that completed or " +
      "was cancelled the violation is only recorded. Safe to repeat.",
    types: [
      ReportSecurityViolationPayload,
      ...errorTypes<ErrorsOf<typeof reportSecurityViolation>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of reportSecurityViolation." },
    args: { input: t.arg({ type: ReportSecurityViolationInput, required: true, description: "The violation." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const { jobId, sourceId, ...found } = input;
      const violation = { ...found, sourceId: sourceId ?? null, aceCode: aceCodeOf(input.violationType) };
      return orThrow(await reportSecurityViolation(engine, viewer.workspaceId, jobId, violation));
    },
  }),
);
