import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type CancelAiJobs, cancelAiJobs } from "../../jobs/bulk/action.ts";
import { SHARE } from "../../jobs/bulk/shares.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJobFilter } from "../types/ai-job-filter.ts";
import { BulkAction, type BulkActionPayload } from "../types/bulk-action.ts";
import { BULK_BEHAVIOUR, FILTER_RULE, limit } from "./bulk-action-input.ts";

const CancelAiJobsInput = builder.inputType("CancelAiJobsInput", {
  description: "Which jobs to cancel, and why.",
  fields: (t) => ({
    filter: t.field({
      type: AiJobFilter,
      required: true,
      description:
        `${FILTER_RULE} Without states: only jobs that can be cancelled. With states: all jobs in these states; one that ` +
        "cannot be cancelled is an item with an error.",
    }),
    reason: t.string({
      required: true,
      validate: boundedText(2000),
      description: "Why the jobs are cancelled; 1 to 2,000 characters.",
    }),
    limit: t.int(limit),
  }),
});

const CancelAiJobsPayload = builder.objectRef<BulkActionPayload>("CancelAiJobsPayload").implement({
  description: "The action is stored; it is finished unless its finishedAt is null.",
  isTypeOf: isPayloadWith("bulkAction"),
  fields: (t) => ({
    bulkAction: t.expose("bulkAction", { type: BulkAction, description: "The action, with a result for each job." }),
  }),
});

builder.mutationField("cancelAiJobs", (t) =>
  t.errorUnionField({
    permission: "JOBS_OPERATE",
    extensions: { commandsBy: ["input", "limit"], maxCommands: SHARE },
    description: `Cancels many jobs, each as cancelAiJob does. ${BULK_BEHAVIOUR}`,
    types: [
      CancelAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof cancelAiJobs>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of cancelAiJobs." },
    args: { input: t.arg({ type: CancelAiJobsInput, required: true, description: "Which jobs, and why." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      bulkAction: orThrow(await cancelAiJobs(engine, viewer.workspaceId, viewer.actor, exact<CancelAiJobs>()(input))),
    }),
  }),
);
