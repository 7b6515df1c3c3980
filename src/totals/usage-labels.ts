import { uuidv7 } from "uuidv7";
import type { PrismaClient, UsageLabel, Workspace } from "../db/generated/client/client.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { NotFoundError } from "../errors.ts";
import { makeWorkspace } from "../identity/workspaces.ts";

/** The keys of labels by whose values a workspace counts its usage (section 14). */

/** The most keys of a workspace: each multiplies what is counted for a job that has the label. The database has the same limit. */
export const MAX_USAGE_LABELS = 5;

/** @returns the keys that these workspaces have declared, each workspace's in the order of its list. */
export function listUsageLabels(prisma: PrismaClient, workspaceIds: readonly string[]): Promise<UsageLabel[]> {
  return prisma.usageLabel.findMany({
    where: { workspaceId: { in: [...workspaceIds] } },
    orderBy: [{ workspaceId: "asc" }, { position: "asc" }],
    take: MAX_USAGE_LABELS * workspaceIds.length,
  });
}

/**
 * Declares the keys by which a workspace counts its usage, instead of those that it had. A key that stays is counted on. A new one is
 * counted by from now on: for what comes after this transaction in the order of the log, which nobody can have aggregated before it
 * commits, since the log is aggregated below its oldest open transaction.
 * @param keys at most MAX_USAGE_LABELS, each once.
 * @returns the workspace, or NotFoundError where there is no such workspace.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the commit: nothing was kept.
 */
export function setUsageLabels(
  context: CommandContext,
  workspaceId: string,
  keys: readonly string[],
): Promise<Workspace | NotFoundError> {
  return inTransaction(context, [workspaceId], (tx) => replace(tx, context, workspaceId, keys));
}

async function replace(
  tx: Transaction,
  { workspacesMustExist = false }: CommandContext,
  workspaceId: string,
  keys: readonly string[],
): Promise<Workspace | NotFoundError> {
  if (!workspacesMustExist) await tx.$executeRaw(makeWorkspace(workspaceId));
  // One after the other: two that ran at once would each find what the other is about to replace.
  const [now] = await tx.$queryRaw<{ orderXid: bigint }[]>`
    SELECT current_order_xid() AS "orderXid" FROM workspaces WHERE workspace_id = ${workspaceId}::uuid FOR NO KEY UPDATE`;
  if (!now) return new NotFoundError("workspace");
  const before = await tx.usageLabel.findMany({ where: { workspaceId }, take: MAX_USAGE_LABELS });
  // All of them, so that places in the list can be exchanged.
  await tx.usageLabel.deleteMany({ where: { workspaceId } });
  await tx.usageLabel.createMany({
    data: keys.map((key, index) => ({
      labelId: uuidv7(),
      sinceOrderXid: now.orderXid,
      ...before.find((declared) => declared.key === key),
      workspaceId,
      key,
      position: index + 1,
    })),
  });
  return tx.workspace.findUniqueOrThrow({ where: { workspaceId } });
}
