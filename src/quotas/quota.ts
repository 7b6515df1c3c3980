import { uuidv7 } from "uuidv7";
import { type AppError, InvalidInputError, NotFoundError, UnknownCapabilityError } from "../errors.ts";
import { inTransaction, type Recorder, type Transaction } from "../recorder/transaction.ts";
import { QUOTA_COLUMNS, word } from "../storage/columns.ts";
import { Prisma, type PrismaClient, type Quota } from "../storage/generated/client/client.ts";
import type { QuotaResource } from "../storage/generated/client/enums.ts";
import { type QuotaUse, readUse } from "./use.ts";

/** Seconds that a window may last: a minute to 31 days. */
export const WINDOW_SECONDS = { least: 60, most: 31 * 24 * 60 * 60 };

/** Quotas that a workspace may have: a submit or a start judges all that apply to it. */
export const MOST_QUOTAS = 100;

export interface SetQuota {
  /** The profile whose jobs it counts; all of the workspace's jobs where null. */
  readonly capabilityProfileId: string | null;
  readonly resource: QuotaResource;
  readonly most: number;
  /** Null exactly for ACTIVE_JOBS, which has no window. */
  readonly windowSeconds: number | null;
}

/** All quotas of a workspace, oldest first, with what is used of them. */
export function listQuotas(prisma: PrismaClient, workspaceId: string): Promise<QuotaUse[]> {
  return readUse(prisma, Prisma.sql`workspace_id = ${workspaceId}::uuid`);
}

/** Makes a quota, or changes `most` of the one that is about the same. It counts what was used before it, too. */
export async function setQuota(recorder: Recorder, workspaceId: string, input: SetQuota): Promise<QuotaUse | AppError> {
  const fault = faultOf(input);
  if (fault) return new InvalidInputError(["input", "windowSeconds"], fault);
  return inTransaction(recorder, (tx) => set(tx, workspaceId, input));
}

function faultOf({ resource, windowSeconds }: SetQuota): string | null {
  if (resource === "ACTIVE_JOBS") {
    return windowSeconds === null ? null : "ACTIVE_JOBS is about this moment: it takes no windowSeconds.";
  }
  const { least, most } = WINDOW_SECONDS;
  const fits = windowSeconds !== null && windowSeconds >= least && windowSeconds <= most;
  return fits ? null : `${resource} takes windowSeconds, from ${least} to ${most}.`;
}

async function set(tx: Transaction, workspaceId: string, input: SetQuota): Promise<QuotaUse | AppError> {
  const { capabilityProfileId: profileId, resource, most, windowSeconds } = input;
  if (profileId !== null && !(await tx.capabilityProfile.findUnique({ where: { id: profileId } }))) {
    return new UnknownCapabilityError(profileId);
  }
  await tx.$executeRaw`INSERT INTO workspaces (workspace_id) VALUES (${workspaceId}::uuid) ON CONFLICT DO NOTHING`;
  // Two that come at once are counted one after the other. A submit, which refers to this row, does not wait for it.
  await tx.$queryRaw`SELECT 1 AS one FROM workspaces WHERE workspace_id = ${workspaceId}::uuid FOR NO KEY UPDATE`;
  const there = await tx.quota.findMany({ where: { workspaceId }, take: MOST_QUOTAS });
  const same = there.some(
    (quota) =>
      quota.capabilityProfileId === profileId && quota.resource === resource && quota.windowSeconds === windowSeconds,
  );
  if (!same && there.length >= MOST_QUOTAS) {
    return new InvalidInputError(["input"], `A workspace has at most ${MOST_QUOTAS} quotas. Delete one of them first.`);
  }
  const [row] = await tx.$queryRaw<{ id: string }[]>`
    INSERT INTO quotas AS old (id, workspace_id, capability_profile_id, resource, most, window_seconds)
    VALUES (${uuidv7()}::uuid, ${workspaceId}::uuid, ${profileId}, ${word(resource)}::"QuotaResource", ${most},
      ${windowSeconds})
    ON CONFLICT (workspace_id, capability_profile_id, resource, window_seconds)
    DO UPDATE SET most = excluded.most, updated_at = greatest(old.updated_at, excluded.updated_at)
    RETURNING id`;
  const [quota] = await readUse(tx, Prisma.sql`id = ${row?.id}::uuid`);
  if (!quota) throw new Error("A quota that was set is there.");
  return quota;
}

/** Removes a quota; what it would refuse is then only up to the others. */
export function deleteQuota(recorder: Recorder, workspaceId: string, id: string): Promise<Quota | AppError> {
  return inTransaction(recorder, async (tx) => {
    const [quota] = await tx.$queryRaw<Quota[]>`
      DELETE FROM quotas WHERE id = ${id}::uuid AND workspace_id = ${workspaceId}::uuid RETURNING ${QUOTA_COLUMNS}`;
    return quota ?? new NotFoundError("quota");
  });
}
