import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import type { QuotaResource } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { BudgetExceededError } from "../errors.ts";
import { type QuotaUsage, readQuotaUsage } from "./usage.ts";

/** What quotas know of a job; none of it ever changes. */
export type CountedJob = Pick<AiJob, "workspaceId" | "capabilityProfileId">;

/**
 * Why quotas forbid this submit; null where they do not. The quotas of submitted jobs stay locked until `tx` ends: of
 * submits that come at once, each is counted before the next is judged.
 */
export async function refuseSubmitByQuota(tx: Transaction, job: CountedJob): Promise<BudgetExceededError | null> {
  const [refusal = null] = checkQuotas([job], await lockQuotas(tx, [job], "JOBS"));
  return refusal;
}

/**
 * Why quotas forbid each of these starts, in their order; null where they do not. What one of them takes is not there
 * for those after it. The caller holds the jobs' rows, and starts in `tx` those that it may: the quotas of active jobs
 * stay locked until then. One statement where no quota is about them, else two.
 */
export async function refuseStartsByQuota(
  tx: Transaction,
  jobs: readonly CountedJob[],
): Promise<readonly (BudgetExceededError | null)[]> {
  return checkQuotas(jobs, await lockStartQuotas(tx, jobs));
}

/** The quotas that are about these starts, with what is used of them; locked as `refuseStartsByQuota` does. */
export function lockStartQuotas(tx: Transaction, jobs: readonly CountedJob[]): Promise<readonly QuotaUsage[]> {
  return lockQuotas(tx, jobs, "ACTIVE_JOBS");
}

/** Whose jobs need not be looked at by a claim: a workspace's, or only those of one capability profile in it. */
export interface UsedUpScope {
  readonly workspaceId: string;
  readonly capabilityProfileId: string | null;
}

/**
 * Where quotas forbid every start in these workspaces just now. Without a lock: good for passing over jobs, never for
 * taking one.
 */
export async function usedUpForStarts(
  db: Transaction,
  workspaceIds: readonly string[],
): Promise<readonly UsedUpScope[]> {
  return (
    await readQuotaUsage(db, Prisma.sql`resource <> 'jobs' AND workspace_id = ANY(${workspaceIds}::uuid[])`)
  ).filter(isUsedUp);
}

/**
 * The quotas that are about these jobs and this step, with what is used of them. Those of `exact`, which this step adds
 * to, are locked first and counted after: what their last holder did has committed then. Tokens were spent by reports,
 * which nothing holds up, so nobody waits for their quotas.
 */
async function lockQuotas(
  tx: Transaction,
  jobs: readonly CountedJob[],
  lockedResource: Exclude<QuotaResource, "TOKENS">,
): Promise<readonly QuotaUsage[]> {
  const workspaceIds = [...new Set(jobs.map(({ workspaceId }) => workspaceId))];
  const profileIds = [...new Set(jobs.map(({ capabilityProfileId }) => capabilityProfileId))];
  const isApplicable = Prisma.sql`workspace_id = ANY(${workspaceIds}::uuid[])
    AND (capability_profile_id IS NULL OR capability_profile_id = ANY(${profileIds}::text[]))`;
  const isLocked = Prisma.sql`resource = ${toDbEnum(lockedResource)}::"QuotaResource"`;
  const [row] = await tx.$queryRaw<{ quotas: number }[]>`
    WITH locked AS MATERIALIZED (SELECT id FROM quotas WHERE ${isApplicable} AND ${isLocked} ORDER BY id FOR NO KEY UPDATE)
    SELECT (SELECT count(*) FROM locked)::int
      + (SELECT count(*) FROM quotas WHERE ${isApplicable} AND resource = 'tokens')::int AS quotas`;
  return row?.quotas ? readQuotaUsage(tx, Prisma.sql`${isApplicable} AND (${isLocked} OR resource = 'tokens')`) : [];
}

/** Judges jobs in their order: one that may go on counts for those after it. */
export function checkQuotas(
  jobs: readonly CountedJob[],
  quotas: readonly QuotaUsage[],
): readonly (BudgetExceededError | null)[] {
  const admittedByQuota = new Map<string, bigint>();
  return jobs.map((job) => {
    const applicable = quotas.filter((quota) => appliesTo(quota, job));
    const usedUp = applicable.filter((quota) => quota.used + (admittedByQuota.get(quota.id) ?? 0n) >= quota.max);
    if (usedUp.length > 0) return quotasUsedUpError(usedUp);
    for (const { id, resource } of applicable)
      if (resource !== "TOKENS") admittedByQuota.set(id, (admittedByQuota.get(id) ?? 0n) + 1n);
    return null;
  });
}

function appliesTo(quota: QuotaUsage, { workspaceId, capabilityProfileId }: CountedJob): boolean {
  const matchesProfile = quota.capabilityProfileId === null || quota.capabilityProfileId === capabilityProfileId;
  return matchesProfile && quota.workspaceId === workspaceId;
}

/** Whether it forbids everything that it is about. */
export function isUsedUp({ used, max }: QuotaUsage): boolean {
  return used >= max;
}

/** There is room when the last of them has some; nobody can tell when, where that is so of one. */
function quotasUsedUpError(usedUp: readonly QuotaUsage[]): BudgetExceededError {
  const times = usedUp.flatMap(({ freesAt }) => (freesAt ? [freesAt.getTime()] : []));
  const freesAt = times.length === usedUp.length ? new Date(Math.max(...times)) : null;
  const hint = freesAt ? `There is room again at ${freesAt.toISOString()}.` : "Nobody can tell when there is room.";
  return new BudgetExceededError(`${usedUp.map(describe).join("; ")}. ${hint} Nothing was changed.`, { freesAt });
}

function describe({ resource, max, windowSeconds, capabilityProfileId }: QuotaUsage): string {
  const whose = capabilityProfileId === null ? "the workspace's" : `the capability profile ${capabilityProfileId}'s`;
  return `${whose} quota of ${max} ${NOUNS[resource]}${windowSeconds ? ` in ${windowSeconds} s` : ""} is used up`;
}

const NOUNS = {
  TOKENS: "tokens",
  JOBS: "submitted jobs",
  ACTIVE_JOBS: "active jobs",
} as const satisfies Record<QuotaResource, string>;
