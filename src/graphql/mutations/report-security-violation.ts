import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import {
  aceCodeOf,
  type HandledViolation,
  reportSecurityViolation,
  type SecurityViolation,
} from "../../security/poison.ts";
import { builder } from "../builder.ts";
import { ViolationActionEnum, ViolationTypeEnum } from "../enums.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { FlightRecorderEvent } from "../types/flight-recorder-event.ts";

const ReportSecurityViolationInput = builder.inputType("ReportSecurityViolationInput", {
  description: "A security violation that was found outside this server.",
  fields: (t) => ({
    jobId: t.field({ type: "UUID", required: true, description: "The job whose content is in violation." }),
    violationType: t.field({ type: ViolationTypeEnum, required: true, description: "The type of the violation." }),
    guardName: t.string({
      required: true,
      validate: boundedText(200),
      description: "The guard or the person that found it; 1 to 200 characters.",
    }),
    trigger: t.string({
      required: true,
      validate: boundedText(10_000),
      description:
        "What matched and where, not the content itself; 1 to 10,000 characters, of which 200 are stored, redacted.",
    }),
    description: t.string({
      required: true,
      validate: boundedText(10_000),
      description: "For human readers; 1 to 10,000 characters, of which 1,000 are stored, redacted.",
    }),
    sourceId: t.string({
      validate: boundedText(500).nullish(),
      description: "The source in which it was found; 1 to 500 characters.",
    }),
  }),
});

const ReportSecurityViolationPayload = builder.objectRef<HandledViolation>("ReportSecurityViolationPayload").implement({
  description: "The report was processed; `actionTaken` says what it did.",
  isTypeOf: isPayloadWith("action"),
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job as it is now." }),
    event: t.expose("event", {
      type: FlightRecorderEvent,
      description: "The event that was written; for ALREADY_POISONED, the event that poisoned the job.",
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
    permission: "VIOLATIONS_REPORT",
    description:
      "For guards outside this server, and for people. Poisons the job in one transaction, together with its active and " +
      "stalled runs, its unfinished nodes, and all descendants that have not completed or been cancelled (section 5). If " +
      "the job itself has completed or been cancelled, the violation is only recorded. Safe to repeat.",
    types: [
      ReportSecurityViolationPayload,
      ...errorTypes<ErrorsOf<typeof reportSecurityViolation>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of reportSecurityViolation." },
    args: { input: t.arg({ type: ReportSecurityViolationInput, required: true, description: "The violation." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const { jobId, ...finding } = input;
      const violation = exact<SecurityViolation>()({
        ...finding,
        sourceId: finding.sourceId ?? null,
        aceCode: aceCodeOf(finding.violationType),
      });
      return orThrow(await reportSecurityViolation(engine, viewer.workspaceId, jobId, violation));
    },
  }),
);
