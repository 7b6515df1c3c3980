import { uuidv7 } from "uuidv7";
import type { BulkAction, PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Engine } from "../../src/engine.ts";
import { fromStored, type ItemError } from "../../src/jobs/bulk/error.ts";
import { insertAction, type NewBulkAction } from "../../src/jobs/bulk/items.ts";
import type { SubmitAiJob } from "../../src/jobs/submit.ts";
import { SOMEBODY, submitted, WORKSPACE } from "./engine.ts";

/** Bulk actions: jobs for them, what a crash leaves of them, and what came of them. */

/** So many queued jobs, in the order of their age. */
export async function queuedJobs(engine: Engine, count: number, more: Partial<SubmitAiJob>): Promise<string[]> {
  const jobIds: string[] = [];
  for (let index = 0; index < count; index++) jobIds.push((await submitted(engine, more)).jobId);
  return jobIds;
}

/** An action that was stored by a server which then died; its id. */
export async function leftBehind(prisma: PrismaClient, more: Partial<NewBulkAction>): Promise<string> {
  const filter = { protocolId: "test" };
  const asked = { id: uuidv7(), workspaceId: WORKSPACE, kind: "CANCEL", reason: "enough", limit: 1000 } as const;
  const action: NewBulkAction = { ...asked, filter, ...SOMEBODY, ...more };
  await insertAction(prisma, action, action.filter);
  return action.id;
}

export interface Settled {
  readonly jobId: string;
  readonly outcome: "pending" | "changed" | ItemError;
}

/** What came of an action's items, in their order. */
export async function settledItems(prisma: PrismaClient, { id }: Pick<BulkAction, "id">): Promise<Settled[]> {
  const items = await prisma.bulkActionItem.findMany({ where: { bulkActionId: id }, orderBy: { position: "asc" } });
  return Promise.all(
    items.map(async ({ jobId, finishedAt, error }) => {
      const kept = await fromStored(error, () => prisma.aiJob.findUniqueOrThrow({ where: { jobId } }));
      return { jobId, outcome: kept ?? (finishedAt === null ? "pending" : "changed") };
    }),
  );
}

/** The same as words, counted. */
export async function tally(prisma: PrismaClient, action: Pick<BulkAction, "id">) {
  const counts: Record<string, number> = {};
  for (const { outcome } of await settledItems(prisma, action)) {
    const word = typeof outcome === "string" ? outcome : outcome.code;
    counts[word] = (counts[word] ?? 0) + 1;
  }
  return counts;
}
