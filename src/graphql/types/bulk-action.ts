import type { BulkAction as Action, BulkActionItem as Item } from "../../db/generated/client/client.ts";
import { fromStored } from "../../jobs/bulk/error.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder, pageComplexity } from "../builder.ts";
import type { KeyCodec } from "../connection.ts";
import { BulkActionKindEnum } from "../enums.ts";
import { ErrorInterface, toPlainError } from "../errors.ts";
import { AiJob } from "./ai-job.ts";
import { integerKey, loadJob, pageOf } from "./relations.ts";

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

const byPosition: KeyCodec<Item, number> = { keyOf: ({ position }) => [position], schema: integerKey };

export const BulkAction = builder.prismaNode("BulkAction", {
  nullable: true,
  extensions: { permission: "JOBS_READ" },
  id: { field: "id", description: "Global id (Relay). Load it again to see the progress of an unfinished action." },
  findUnique: (id, { viewer: { workspaceId } }) => ({ id: uuidOrNil(id), workspaceId }),
  description:
    "A change of many jobs, requested in one call. It is stored, and the servers finish it, even after the call was answered and after " +
    "a crash half way (section 6).",
  fields: (t) => ({
    kind: t.expose("kind", { type: BulkActionKindEnum, description: "What is done to each job." }),
    reason: t.exposeString("reason", {
      nullable: true,
      description: "Why the jobs are cancelled, as the call gave it; null for a retry.",
    }),
    createdAt: t.expose("createdAt", { type: "DateTime", description: "When the action was requested." }),
    total: t.exposeInt("total", { description: "The number of jobs in the action." }),
    succeeded: t.exposeInt("succeeded", { description: "The number of jobs changed so far." }),
    failed: t.exposeInt("failed", {
      description: "The number of jobs left unchanged so far; each item's error says why.",
    }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the last job was processed; null while the action is unfinished.",
    }),
    items: t.connection(
      {
        type: BulkActionItem,
        description: "The jobs of the action, oldest first, each with its result.",
        complexity: pageComplexity,
        args: {
          onlyFailed: t.arg.boolean({
            required: true,
            defaultValue: false,
            description: "Only the jobs that were left unchanged, with why.",
          }),
        },
        resolve: ({ workspaceId, id }, { onlyFailed, ...args }, { reads }) =>
          pageOf(args, byPosition, (slice) => reads.itemsOfBulkAction({ workspaceId, id }, { slice, onlyFailed })),
      },
      { name: "BulkActionItemConnection", description: "A page of the jobs of a bulk action." },
      { name: "BulkActionItemEdge", description: "A job of a bulk action and its position in the action." },
    ),
  }),
});

/** What a bulk mutation resolves its payload from. */
export interface BulkActionPayload {
  readonly bulkAction: Action;
}
