import type { FlightRecorderEvent as Event } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { boundedText } from "../../jobs/input-text.ts";
import {
  aceCodeOf,
  type HandledViolation,
  type PoisonedJob,
  reportSecurityViolation,
  type SecurityViolation,
} from "../../security/poison.ts";
import { builder } from "../builder.ts";
import { ViolationActionEnum, ViolationTypeEnum } from "../enums.ts";
import { FlightRecorderEvent } from "../queries/flight-recorder-events.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const SecurityViolation = builder
  .objectRef<SecurityViolation & { readonly event: Event }>("SecurityViolation")
  .implement({
    description: "What a guard found (section 5).",
    fields: (t) => ({
      violationType: t.expose("violationType", { type: ViolationTypeEnum, description: "What sort of finding." }),
      aceCode: t.exposeString("aceCode", { description: "Its code, such as ACE-014." }),
      guardName: t.exposeString("guardName", { description: "The guard that found it." }),
      trigger: t.exposeString("trigger", { description: "What matched and where; never the scanned content." }),
      sourceId: t.exposeString("sourceId", {
        nullable: true,
        description: "The snippet's source; null for job inputs.",
      }),
      description: t.exposeString("description", { description: "For people." }),
      event: t.expose("event", { type: FlightRecorderEvent, description: "The event that tells of it." }),
    }),
  });

export const JobPoisoned = builder.objectRef<PoisonedJob>("JobPoisoned").implement({
  description:
    "This call poisoned the job; that is committed. The worker must stop and discard what it made of the job.",
  isTypeOf: isPayloadWith("violation"),
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job, POISONED." }),
    violation: t.field({
      type: SecurityViolation,
      description: "What was found.",
      resolve: ({ violation, event }) => ({ ...violation, event }),
    }),
  }),
});

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
