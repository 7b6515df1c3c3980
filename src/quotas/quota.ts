import { uuidv7 } from "uuidv7";
import { Prisma, type PrismaClient, type Quota } from "../db/generated/client/client.ts";
import type { QuotaResource } from "../db/generated/client/enums.ts";
import { QUOTA_COLUMNS, toDbEnum } from "../db/rows.ts";
import { within } from "../db/scope.ts";
import { type CommandContext, inTransaction, type Transaction } from "../db/transaction.ts";
import { InvalidInputError, NotFoundError, UnknownCapabilityError } from "../errors.ts";
import { makeWorkspace } from "../identity/workspaces.ts";
import { type QuotaUsage, readQuotaUsage } from "./usage.ts";

/** The limits of a quota's window, in seconds: one minute to 31 days. */
export const WINDOW_SECONDS = { min: 60, max: 31 * 24 * 60 * 60 };

/** The largest number of quotas of a workspace. Each submit and start checks all quotas that apply to it. */
export const MAX_QUOTAS = 100;

/** The input of a quota. */
export interface SetQuota {
  /** The capability profile whose jobs it counts; null for all jobs of the workspace. */
  readonly capabilityProfileId: string | null;
  readonly resource: QuotaResource;
  /** The largest amount that may be used; 0 refuses everything. */
  readonly max: number;
  /** Null exactly for ACTIVE_JOBS, which has no window. */
  readonly windowSeconds: number | null;
}

/** @returns all quotas of a workspace with their current usage, oldest first. */
export function listQuotas(prisma: PrismaClient, workspaceId: string): Promise<QuotaUsage[]> {
  return within([workspaceId], () => readQuotaUsage(prisma, Prisma.sql`workspace_id = ${workspaceId}::uuid`));
}

/** @returns those of these quotas that the workspace has, with their current usage. */
export function findQuotas(
  prisma: PrismaClient,
  workspaceId: string,
  ids: readonly string[],
): Promise<readonly QuotaUsage[]> {
  return within([workspaceId], () =>
    readQuotaUsage(prisma, Prisma.sql`workspace_id = ${workspaceId}::uuid AND id = ANY (${ids}::uuid[])`),
  );
}

/** Why a quota is not set. */
export type SetQuotaError = NotFoundError | InvalidInputError | UnknownCapabilityError;

/**
 * Creates a quota, or changes `max` of the existing one with the same profile, resource and window. A new quota also counts what
 * was used in its window before it was created.
 * @returns the quota with its current usage, or why it is refused.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the commit: nothing was kept.
 */
export async function setQuota(
  context: CommandContext,
  workspaceId: string,
  input: SetQuota,
): Promise<QuotaUsage | SetQuotaError> {
  const fault = windowFault(input);
  if (fault) return new InvalidInputError(["input", "windowSeconds"], fault);
  return inTransaction(context, [workspaceId], (tx) => storeQuota(tx, context, workspaceId, input));
}

function windowFault({ resource, windowSeconds }: SetQuota): string | null {
  if (resource === "ACTIVE_JOBS") {
    return windowSeconds === null ? null : "ACTIVE_JOBS counts the jobs that are active now: leave windowSeconds out.";
  }
  const { min, max } = WINDOW_SECONDS;
  const isInRange = windowSeconds !== null && windowSeconds >= min && windowSeconds <= max;
  return isInRange ? null : `${resource} needs windowSeconds from ${min} to ${max}.`;
}

async function storeQuota(
  tx: Transaction,
  { workspacesMustExist = false }: CommandContext,
  workspaceId: string,
  input: SetQuota,
): Promise<QuotaUsage | SetQuotaError> {
  const { capabilityProfileId: profileId, resource, max, windowSeconds } = input;
  if (profileId !== null && !(await tx.capabilityProfile.findUnique({ where: { id: profileId } }))) {
    return new UnknownCapabilityError(profileId);
  }
  if (!workspacesMustExist) await tx.$executeRaw(makeWorkspace(workspaceId));
  // Serialises concurrent calls: otherwise two could both find MAX_QUOTAS - 1 quotas and add one each. The lock does not block
  // submits: their foreign key needs only FOR KEY SHARE on the workspace's row.
  const workspaces = await tx.$queryRaw<unknown[]>`
    SELECT 1 AS one FROM workspaces WHERE workspace_id = ${workspaceId}::uuid FOR NO KEY UPDATE`;
  if (workspaces.length === 0) return new NotFoundError("workspace");
  const existing = await tx.quota.findMany({ where: { workspaceId }, take: MAX_QUOTAS });
  const replacesExisting = existing.some(
    (quota) =>
      quota.capabilityProfileId === profileId && quota.resource === resource && quota.windowSeconds === windowSeconds,
  );
  if (!replacesExisting && existing.length >= MAX_QUOTAS) {
    return new InvalidInputError(["input"], `A workspace has at most ${MAX_QUOTAS} quotas. Delete one first.`);
  }
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    INSERT INTO quotas AS old (id, workspace_id, capability_profile_id, resource, max, window_seconds)
    VALUES (${uuidv7()}::uuid, ${workspaceId}::uuid, ${profileId}, ${toDbEnum(resource)}::"QuotaResource", ${max},
      ${windowSeconds})
    ON CONFLICT (workspace_id, capability_profile_id, resource, window_seconds)
    DO UPDATE SET max = excluded.max, updated_at = greatest(old.updated_at, excluded.updated_at)
    RETURNING id`;
  const [quota] = await readQuotaUsage(tx, Prisma.sql`id = ${row?.id}::uuid`);
  if (!quota) throw new Error("A quota was stored but not found.");
  return quota;
}

/**
 * Deletes a quota.
 * @returns the deleted quota, or NotFoundError where the workspace has none of this id.
 * @throws TryAgainError when every attempt was rolled back, or the connection broke before the commit: nothing was kept.
 */
export function deleteQuota(context: CommandContext, workspaceId: string, id: string): Promise<Quota | NotFoundError> {
  return inTransaction(context, [workspaceId], async (tx) => {
    const [quota] = await tx.$queryRaw<Quota[]>`
      DELETE FROM quotas WHERE id = ${id}::uuid AND workspace_id = ${workspaceId}::uuid RETURNING ${QUOTA_COLUMNS}`;
    return quota ?? new NotFoundError("quota");
  });
}
