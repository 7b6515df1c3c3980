import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { reportsOnlyHeld } from "../../identity/permissions.ts";
import { boundedText } from "../../jobs/input-text.ts";
import type { Report, SentReport } from "../../runs/report.ts";
import { reportViolationOfRun } from "../../runs/report-violation.ts";
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
import { senderOf } from "../viewer.ts";

const ReportSecurityViolationInput = builder.inputType("ReportSecurityViolationInput", {
  description: "A security violation that was found outside this server.",
  validate: z
    .looseObject({ workflowRunId: z.unknown().optional(), leaseToken: z.unknown().optional() })
    .superRefine(({ workflowRunId, leaseToken }, context) => {
      if ((workflowRunId == null) === (leaseToken == null)) return;
      const path = workflowRunId == null ? "workflowRunId" : "leaseToken";
      context.addIssue({ code: "custom", path: [path], message: "workflowRunId and leaseToken go together" });
    }),
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
    workflowRunId: t.field({
      type: "UUID",
      description:
        "The run by which a worker holds the job; together with leaseToken. Whoever may report violations as a worker alone must " +
        "send both; others may leave them out.",
    }),
    leaseToken: t.string({ description: "The lease token of that run." }),
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
      "the job itself has completed or been cancelled, the violation is only recorded. Safe to repeat. A worker proves by a " +
      "lease token that it holds the job, which needs no x-workspace-id then.",
    types: [
      ReportSecurityViolationPayload,
      ...errorTypes<
        ErrorsOf<typeof reportSecurityViolation> | ErrorsOf<typeof reportViolationOfRun>,
        errors.InvalidInputError | errors.ForbiddenError
      >()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.ForbiddenError,
        errors.LeaseLostError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of reportSecurityViolation." },
    args: { input: t.arg({ type: ReportSecurityViolationInput, required: true, description: "The violation." }) },
    resolve: async (_root, { input }, { engine, viewer, readable }) => {
      const { jobId, workflowRunId, leaseToken, ...finding } = input;
      const violation = exact<SecurityViolation>()({
        ...finding,
        sourceId: finding.sourceId ?? null,
        aceCode: aceCodeOf(finding.violationType),
      });
      if (workflowRunId != null && leaseToken != null) {
        const proof = exact<SentReport<Report>>()({ workflowRunId, leaseToken, ...senderOf(viewer) });
        const handled = orThrow(await reportViolationOfRun(engine, proof, jobId, violation));
        readable.hold(handled.job);
        return handled;
      }
      // The server poisons (section 5), for the one who reports.
      const reporter = { ...viewer.actor, actor: "SYSTEM" as const };
      if (reportsOnlyHeld(viewer.principal.roles))
        throw new errors.ForbiddenError(
          "A worker reports violations of jobs that it holds: send workflowRunId and leaseToken.",
        );
      return orThrow(await reportSecurityViolation(engine, viewer.workspaceId, reporter, jobId, violation));
    },
  }),
);
