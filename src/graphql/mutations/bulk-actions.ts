import { z } from "zod";
import type { BulkAction as Action, BulkActionItem as Item } from "../../db/generated/client/client.ts";
import * as errors from "../../errors.ts";
import { cancelAiJobs, MAX_ITEMS, retryAiJobs } from "../../jobs/bulk/action.ts";
import { fromStored } from "../../jobs/bulk/error.ts";
import type { ItemCounts } from "../../jobs/bulk/items.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import type { GraphQLContext } from "../context.ts";
import { ErrorInterface, toPlainError } from "../errors.ts";
import { AiJobFilter } from "../queries/ai-jobs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { loadJob } from "../types/relations.ts";

const BulkActionItem = builder.objectRef<Item>("BulkActionItem").implement({
  description: "One job of a bulk action, and what came of it.",
  fields: (t) => ({
    jobId: t.expose("jobId", { type: "UUID", description: "The job's own id." }),
    job: t.field({
      type: AiJob,
      nullable: true,
      description: "The job as it is now.",
      resolve: ({ workspaceId, jobId }, _args, context, info) => loadJob(context, info, { workspaceId, id: jobId }),
    }),
    error: t.field({
      type: ErrorInterface,
      nullable: true,
      description: "Why the job was left as it is; null where it was changed, and while it waits for its turn.",
      resolve: async ({ workspaceId, jobId, error }, _args, context, info) => {
        const kept = await fromStored(error, () => loadJob(context, info, { workspaceId, id: jobId }));
        return kept && toPlainError(kept);
      },
    }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When it was this job's turn; null while it waits.",
    }),
  }),
});

const NONE = { total: 0, succeeded: 0, failed: 0 };

async function countsOf({ reads }: GraphQLContext, { workspaceId, id }: Action): Promise<ItemCounts> {
  const [counts = NONE] = await reads.countsOfBulkAction({ workspaceId, id });
  return counts;
}

const BulkAction = builder.prismaNode("BulkAction", {
  nullable: true,
  id: { field: "id", description: "Global id (Relay): load it again to see how far an unfinished one has come." },
  findUnique: (id, { viewer: { workspaceId } }) => ({ id: uuidOrNil(id), workspaceId }),
  description:
    "A change of many jobs that a person asked for at once. It is kept, and done to its end also when a server dies " +
    "half way.",
  fields: (t) => ({
    total: t.int({
      description: "The jobs that it is about.",
      resolve: async (action, _args, context) => (await countsOf(context, action)).total,
    }),
    succeeded: t.int({
      description: "The jobs that it has changed so far.",
      resolve: async (action, _args, context) => (await countsOf(context, action)).succeeded,
    }),
    failed: t.int({
      description: "The jobs that it left as they are, each for the reason in its item's error.",
      resolve: async (action, _args, context) => (await countsOf(context, action)).failed,
    }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the last job had its turn; null while the server is still at work on it.",
    }),
    items: t.field({
      type: [BulkActionItem],
      description: `Its jobs, oldest first, each with what came of it; at most ${MAX_ITEMS}.`,
      complexity: { field: 1, multiplier: MAX_ITEMS },
      resolve: async ({ workspaceId, id }, _args, { reads }) => [
        ...(await reads.itemsOfBulkAction({ workspaceId, id })),
      ],
    }),
  }),
});

const limit = {
  required: true,
  defaultValue: 100,
  validate: z.int().min(1).max(MAX_ITEMS),
  description: `Jobs at most, 1 to ${MAX_ITEMS}; where more match, the oldest.`,
} as const;

/** Items are counted as if there were as many as can be: an action with a smaller limit has no more than that. */
function complexityOf({ input }: { readonly input: { readonly limit: number } }) {
  return { field: 1, multiplier: input.limit / MAX_ITEMS };
}

const CancelAiJobsInput = builder.inputType("CancelAiJobsInput", {
  description: "Which jobs to call off, and why.",
  fields: (t) => ({
    filter: t.field({
      type: AiJobFilter,
      required: true,
      description:
        "Which jobs; it names at least one thing, and no empty list. Without states: those that can be cancelled. With " +
        "states: those in these states, and a job that cannot be cancelled is an item with its error.",
    }),
    reason: t.string({ required: true, validate: boundedText(2000), description: "Why; 1 to 2,000 characters." }),
    limit: t.int(limit),
  }),
});

const RetryAiJobsInput = builder.inputType("RetryAiJobsInput", {
  description: "Which jobs to try again.",
  fields: (t) => ({
    filter: t.field({
      type: AiJobFilter,
      required: true,
      description:
        "Which jobs; it names at least one thing, and no empty list. Without states: those that are FAILED or STALLED. " +
        "With states: those in these states, and a job that cannot be tried again is an item with its error.",
    }),
    limit: t.int(limit),
  }),
});

interface Payload {
  readonly bulkAction: Action;
}

const CancelAiJobsPayload = builder.objectRef<Payload>("CancelAiJobsPayload").implement({
  description: "The action is kept, and done to its end unless its finishedAt is null.",
  isTypeOf: isPayloadWith("bulkAction"),
  fields: (t) => ({
    bulkAction: t.expose("bulkAction", { type: BulkAction, description: "What came of it, job by job." }),
  }),
});

const RetryAiJobsPayload = builder.objectRef<Payload>("RetryAiJobsPayload").implement({
  description: "The action is kept, and done to its end unless its finishedAt is null.",
  isTypeOf: isPayloadWith("bulkAction"),
  fields: (t) => ({
    bulkAction: t.expose("bulkAction", { type: BulkAction, description: "What came of it, job by job." }),
  }),
});

const GOES_ON =
  "Each job has its own result. The action is kept: where the server dies or the database has no time half way, it is " +
  "gone on with, and its finishedAt is null until then. TRY_AGAIN means that nothing of it was kept.";

builder.mutationField("cancelAiJobs", (t) =>
  t.errorUnionField({
    description: `Calls many jobs off, as cancelAiJob does one. ${GOES_ON}`,
    types: [
      CancelAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof cancelAiJobs>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of cancelAiJobs." },
    complexity: complexityOf,
    args: { input: t.arg({ type: CancelAiJobsInput, required: true, description: "Which jobs, and why." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      bulkAction: orThrow(await cancelAiJobs(engine, viewer.workspaceId, viewer.actor, input)),
    }),
  }),
);

builder.mutationField("retryAiJobs", (t) =>
  t.errorUnionField({
    description: `Queues many jobs again, as retryAiJob does one. ${GOES_ON}`,
    types: [
      RetryAiJobsPayload,
      ...errorTypes<ErrorsOf<typeof retryAiJobs>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of retryAiJobs." },
    complexity: complexityOf,
    args: { input: t.arg({ type: RetryAiJobsInput, required: true, description: "Which jobs." }) },
    resolve: async (_root, { input }, { engine, viewer }) => ({
      bulkAction: orThrow(await retryAiJobs(engine, viewer.workspaceId, viewer.actor, input)),
    }),
  }),
);
