import { uuidv7 } from "uuidv7";
import { SUBMIT_JOBS } from "../../bench/support/jobs.ts";
import type { BulkAction, PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { fromStored, type ItemError } from "../../src/jobs/bulk/error.ts";
import { insertAction, type NewBulkAction } from "../../src/jobs/bulk/items.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { SOMEBODY, submitted, WORKSPACE } from "./engine.ts";

/** Bulk actions: jobs for them, actions that a crash left unfinished, and the results of their items. */

/** Submits `count` jobs. @returns their ids, oldest first. */
export async function queuedJobs(engine: EngineContext, count: number, more: Partial<SubmitAiJob>): Promise<string[]> {
  const jobIds: string[] = [];
  for (let index = 0; index < count; index++) jobIds.push((await submitted(engine, more)).jobId);
  return jobIds;
}

/** So many queued jobs, each with its event, by one statement of plain SQL; only their hashes are not the recorder's. */
export async function addQueuedJobs(prisma: PrismaClient, count: number, protocolId: string): Promise<void> {
  await prisma.$executeRawUnsafe(SUBMIT_JOBS, WORKSPACE, 1, count, protocolId);
}

/** Stores an action as a server does that crashes before it processes the first item. @returns the action's id. */
export async function leftBehind(prisma: PrismaClient, more: Partial<NewBulkAction>): Promise<string> {
  const filter = { protocolId: "test" };
  const defaults = { id: uuidv7(), workspaceId: WORKSPACE, kind: "CANCEL", reason: "enough", limit: 100_000 } as const;
  const action: NewBulkAction = { ...defaults, filter, ...SOMEBODY, ...more };
  await insertAction(prisma, action, action.filter);
  return action.id;
}

export interface Settled {
  readonly jobId: string;
  readonly outcome: "pending" | "changed" | ItemError;
}

/** The results of an action's items, in the order of their positions. */
export async function settledItems(prisma: PrismaClient, { id }: Pick<BulkAction, "id">): Promise<Settled[]> {
  const items = await prisma.bulkActionItem.findMany({ where: { bulkActionId: id }, orderBy: { position: "asc" } });
  return Promise.all(
    items.map(async ({ jobId, finishedAt, error }) => {
      const itemError = await fromStored(error, () => prisma.aiJob.findUniqueOrThrow({ where: { jobId } }));
      return { jobId, outcome: itemError ?? (finishedAt === null ? "pending" : "changed") };
    }),
  );
}

/** How many items have each result: "pending", "changed", or an error code. */
export async function tally(prisma: PrismaClient, action: Pick<BulkAction, "id">) {
  const counts: Record<string, number> = {};
  for (const { outcome } of await settledItems(prisma, action)) {
    const key = typeof outcome === "string" ? outcome : outcome.code;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
