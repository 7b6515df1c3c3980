import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type RetryAiJobs, retryAiJobs } from "../../jobs/bulk/action.ts";
import { SHARE } from "../../jobs/bulk/shares.ts";
import { builder } from "../builder.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJobFilter } from "../types/ai-job-filter.ts";
import { BulkAction, type BulkActionPayload } from "../types/bulk-action.ts";
import { BULK_BEHAVIOUR, FILTER_RULE, limit } from "./bulk-action-input.ts";

const RetryAiJobsInput = builder.inputType("RetryAiJobsInput", {
  description: "Which jobs to retry.",
  fields: (t) => ({
    filter: t.field({
      type: AiJobFilter,
      required: true,
      description:
        `${FILTER_RULE} Without states: only jobs that are FAILED or STALLED. With states: all jobs in these states; one ` +
        "that cannot be retried is an item with an error.",
    }),
    limit: t.int(limit),
  }),
});

const RetryAiJobsPayload = builder.objectRef<BulkActionPayload>("RetryAiJobsPayload").implement({
  description: "The action is stored; it is finished unless its finishedAt is null.",
  isTypeOf: isPayloadWith("bulkAction"),
  fields: (t) => ({
    bulkAction: t.expose("bulkAction", { type: BulkAction, description: "The action, with a result for each job." }),
  }),
});

builder.mutationField("retryAiJobs", (t) =>
  t.errorUnionField({
    permission: "JOBS_OPERATE",
    extensions: { commandsBy: ["input", "limit"], maxCommands: SHARE },
    description: `Queues many jobs again, each as retryAiJob does. ${BULK_BEHAVIOUR}`,
    types: [
      RetryAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof retryAiJobs>, errors.InvalidInputError>()(
        errors.NotFoundError,
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of retryAiJobs." },
    args: { input: t.arg({ type: RetryAiJobsInput, required: true, description: "Which jobs." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      bulkAction: orThrow(await retryAiJobs(engine, viewer.workspaceId, viewer.actor, exact<RetryAiJobs>()(input))),
    }),
  }),
);
