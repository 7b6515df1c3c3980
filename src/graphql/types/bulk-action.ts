import type { BulkAction as Action, BulkActionItem as Item } from "../../db/generated/client/client.ts";
import { MAX_ITEMS } from "../../jobs/bulk/action.ts";
import { fromStored } from "../../jobs/bulk/error.ts";
import type { ItemCounts } from "../../jobs/bulk/items.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import type { GraphQLContext } from "../context.ts";
import { BulkActionKindEnum } from "../enums.ts";
import { ErrorInterface, toPlainError } from "../errors.ts";
import { AiJob } from "./ai-job.ts";
import { loadJob } from "./relations.ts";

const BulkActionItem = builder.objectRef<Item>("BulkActionItem").implement({
  description: "One job of a bulk action, with its result.",
  fields: (t) => ({
    jobId: t.expose("jobId", { type: "UUID", description: "The job's id." }),
    job: t.field({
      type: AiJob,
      nullable: true,
      description: "The job as it is now.",
      resolve: ({ workspaceId, jobId }, _args, context, info) => loadJob(context, info, { workspaceId, id: jobId }),
    }),
    error: t.field({
      type: ErrorInterface,
      nullable: true,
      description: "Why the job was not changed; null if it was changed, or has not been processed yet.",
      resolve: async ({ workspaceId, jobId, error }, _args, context, info) => {
        const itemError = await fromStored(error, () => loadJob(context, info, { workspaceId, id: jobId }));
        return itemError && toPlainError(itemError);
      },
    }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the job was processed; null while it waits.",
    }),
  }),
});

const NO_ITEMS: ItemCounts = { total: 0, succeeded: 0, failed: 0 };

async function countsOf({ reads }: GraphQLContext, { workspaceId, id }: Action): Promise<ItemCounts> {
  const [counts = NO_ITEMS] = await reads.countsOfBulkAction({ workspaceId, id });
  return counts;
}

export const BulkAction = builder.prismaNode("BulkAction", {
  nullable: true,
  extensions: { permission: "JOBS_READ" },
  id: { field: "id", description: "Global id (Relay). Load it again to see the progress of an unfinished action." },
  findUnique: (id, { viewer: { workspaceId } }) => ({ id: uuidOrNil(id), workspaceId }),
  description:
    "A change of many jobs, requested in one call. It is stored, and the server finishes it even after a crash half way " +
    "(section 6).",
  fields: (t) => ({
    kind: t.expose("kind", { type: BulkActionKindEnum, description: "What is done to each job." }),
    reason: t.exposeString("reason", {
      nullable: true,
      description: "Why the jobs are cancelled, as the call gave it; null for a retry.",
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When the action was requested." }),
    total: t.int({
      description: "The number of jobs in the action.",
      resolve: async (action, _args, context) => (await countsOf(context, action)).total,
    }),
    succeeded: t.int({
      description: "The number of jobs changed so far.",
      resolve: async (action, _args, context) => (await countsOf(context, action)).succeeded,
    }),
    failed: t.int({
      description: "The number of jobs left unchanged so far; each item's error says why.",
      resolve: async (action, _args, context) => (await countsOf(context, action)).failed,
    }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the last job was processed; null while the action is unfinished.",
    }),
    items: t.field({
      type: [BulkActionItem],
      description: `The jobs of the action, oldest first, each with its result; at most ${MAX_ITEMS}.`,
      complexity: { field: 1, multiplier: MAX_ITEMS },
      resolve: async ({ workspaceId, id }, _args, { reads }) => [
        ...(await reads.itemsOfBulkAction({ workspaceId, id })),
      ],
    }),
  }),
});

/** What a bulk mutation resolves its payload from. */
export interface BulkActionPayload {
  readonly bulkAction: Action;
}
