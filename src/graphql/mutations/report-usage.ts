import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { MAX_CALLS } from "../../jobs/usage/model-usage.ts";
import type { SentReport } from "../../runs/report.ts";
import { type ReportedUsage, reportUsage, type UsageReport } from "../../runs/report-usage.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { ModelUsageInput } from "../types/model-usage.ts";
import { withDocuments } from "../types/relations.ts";
import { senderOf } from "../viewer.ts";

const ReportUsageInput = builder.inputType("ReportUsageInput", {
  description: "Calls of models that a run has made.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim; the lease may have ended." }),
    reportId: t.field({
      type: "UUID",
      required: true,
      description:
        "For usage that a report was to bring which was refused, or of which the worker does not know whether it was kept: that " +
        "report's id. If it was kept, this is INVALID_INPUT, and the usage is counted already (section 14). Otherwise a new id. What " +
        "is sent again after a lost answer counts once.",
    }),
    usage: t.field({
      type: [ModelUsageInput],
      required: true,
      validate: z.array(z.unknown()).min(1).max(MAX_CALLS),
      description: `1 to ${MAX_CALLS} calls. Only what no other report of the run has brought, or what was refused with it.`,
    }),
  }),
});

const ReportUsagePayload = builder.objectRef<ReportedUsage>("ReportUsagePayload").implement({
  description: "The usage is counted, by this call or by an earlier one with this reportId.",
  isTypeOf: isPayloadWith("isLate"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description:
        "The job as it is then: FAILED, if it had not ended and passed its token or cost budget by this. A poisoned one is " +
        "unchanged: its modelUsage has the calls.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    isLate: t.exposeBoolean("isLate", {
      description:
        "Whether the run has no lease any more. Then, without JOBS_READ, no more is read of the job than of one that is not held.",
    }),
  }),
});

builder.mutationField("reportUsage", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    description:
      "Counts calls of models for a run until 24 hours after it ended, however it ended: for what was used when the run was " +
      "cancelled, lost its lease or had a report refused. A job that has ended keeps its state. After that time, and where run " +
      "and token are not proven, it is LEASE_LOST (section 14).",
    types: [
      ReportUsagePayload,
      ...errorTypes<ErrorsOf<typeof reportUsage>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.LeaseLostError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of reportUsage." },
    args: { input: t.arg({ type: ReportUsageInput, required: true, description: "The usage." }) },
    resolve: async (_root, { input }, { engine, viewer, readable }) => {
      const reported = orThrow(
        await reportUsage(engine, exact<SentReport<UsageReport>>()({ ...input, ...senderOf(viewer) })),
      );
      // Whoever had the job once does not hold it any more.
      if (!reported.isLate) readable.hold(reported.job);
      return reported;
    },
  }),
);
