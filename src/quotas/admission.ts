import { type AiJob, Prisma } from "../db/generated/client/client.ts";
import type { QuotaResource } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { BudgetExceededError } from "../errors.ts";
import { quote } from "../quote.ts";
import { type QuotaUsage, readQuotaUsage } from "./usage.ts";

/** What running jobs spend, and reports tell: it is never refused, and nothing that is admitted adds to it at once. */
const SPENT = ["TOKENS", "COST"] as const satisfies readonly QuotaResource[];
type Spent = (typeof SPENT)[number];
const IS_SPENT = Prisma.raw(`resource IN (${SPENT.map((resource) => `'${toDbEnum(resource)}'`).join(", ")})`);
const isSpent = (resource: QuotaResource): resource is Spent => SPENT.some((spent) => spent === resource);

/** The columns of a job by which quotas count it. They never change. */
export type CountedJob = Pick<AiJob, "workspaceId" | "capabilityProfileId">;

/**
 * Locks the quotas of submitted jobs that apply to a submit, and checks the submit against these and against the quotas of
 * what is spent, which are not locked. They stay locked until `tx` ends, so that concurrent submits are counted one after another and cannot exceed a quota together.
 * @returns why the submit is refused; null where it is allowed.
 */
export async function checkSubmitQuotas(tx: Transaction, job: CountedJob): Promise<BudgetExceededError | null> {
  const [refusal = null] = checkQuotas([job], await lockQuotas(tx, [job], "JOBS"));
  return refusal;
}

/**
 * Locks the quotas of active jobs that apply to the starts of these jobs until `tx` ends, and checks the starts against all
 * quotas that apply. The jobs are checked in their order: one that is allowed uses up quota before the next is checked. The
 * caller must have locked the jobs' rows (section 4, lock order), and must start the allowed jobs in `tx`. Takes one statement
 * where no quota applies, otherwise two.
 * @returns for each job why its start is refused; null where it is allowed.
 */
export async function checkStartQuotas(
  tx: Transaction,
  jobs: readonly CountedJob[],
): Promise<readonly (BudgetExceededError | null)[]> {
  return checkQuotas(jobs, await lockStartQuotas(tx, jobs));
}

/** @returns the quotas that apply to the starts of these jobs, with their usage; locked as in `checkStartQuotas`. */
export function lockStartQuotas(tx: Transaction, jobs: readonly CountedJob[]): Promise<readonly QuotaUsage[]> {
  return lockQuotas(tx, jobs, "ACTIVE_JOBS");
}

/** Jobs that a claim can skip: all of a workspace, or only those with one capability profile in it. */
export interface UsedUpScope {
  readonly workspaceId: string;
  /** Null for all jobs of the workspace. */
  readonly capabilityProfileId: string | null;
}

/**
 * @returns the quotas of these workspaces that refuse every start now. They are read without a lock, so a claim may use them only
 *   to skip jobs. Before it starts a job, it must check with `checkStartQuotas` or `lockStartQuotas`.
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
 * Reads the quotas that apply to these jobs, with their usage. Quotas of `lockedResource`, to which the caller adds, are locked
 * first and counted afterwards, in a second statement, whose snapshot contains everything that the previous holders of the
 * locks committed. Quotas of what is spent are not locked: it is added by reports, which never wait for a quota.
 */
async function lockQuotas(
  tx: Transaction,
  jobs: readonly CountedJob[],
  lockedResource: Exclude<QuotaResource, Spent>,
): Promise<readonly QuotaUsage[]> {
  const workspaceIds = [...new Set(jobs.map(({ workspaceId }) => workspaceId))];
  const profileIds = [...new Set(jobs.map(({ capabilityProfileId }) => capabilityProfileId))];
  const isApplicable = Prisma.sql`workspace_id = ANY(${workspaceIds}::uuid[])
    AND (capability_profile_id IS NULL OR capability_profile_id = ANY(${profileIds}::text[]))`;
  const isLocked = Prisma.sql`resource = ${toDbEnum(lockedResource)}::"QuotaResource"`;
  const [row] = await tx.$queryRaw<{ quotas: number }[]>`
    WITH locked AS MATERIALIZED (SELECT id FROM quotas WHERE ${isApplicable} AND ${isLocked} ORDER BY id FOR NO KEY UPDATE)
    SELECT (SELECT count(*) FROM locked)::int
      + (SELECT count(*) FROM quotas WHERE ${isApplicable} AND ${IS_SPENT})::int AS quotas`;
  return row?.quotas ? readQuotaUsage(tx, Prisma.sql`${isApplicable} AND (${isLocked} OR ${IS_SPENT})`) : [];
}

/**
 * Checks jobs against quotas, in the order of the jobs: one that is allowed counts for the jobs after it.
 * @returns for each job why it is refused; null where it is allowed.
 */
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
      if (!isSpent(resource)) admittedByQuota.set(id, (admittedByQuota.get(id) ?? 0n) + 1n);
    return null;
  });
}

function appliesTo(quota: QuotaUsage, { workspaceId, capabilityProfileId }: CountedJob): boolean {
  const matchesProfile = quota.capabilityProfileId === null || quota.capabilityProfileId === capabilityProfileId;
  return matchesProfile && quota.workspaceId === workspaceId;
}

/** Whether a quota is used up, and so refuses everything that it applies to. */
export function isUsedUp({ used, max }: QuotaUsage): boolean {
  return used >= max;
}

/** @returns the error; its `freesAt` is when the last of the quotas has room again, null if that is unknown for one of them. */
function quotasUsedUpError(usedUp: readonly QuotaUsage[]): BudgetExceededError {
  const times = usedUp.flatMap(({ freesAt }) => (freesAt ? [freesAt.getTime()] : []));
  const freesAt = times.length === usedUp.length ? new Date(Math.max(...times)) : null;
  const hint = freesAt
    ? `There is room again at ${freesAt.toISOString()}.`
    : "It is not known when there will be room.";
  return new BudgetExceededError(`${usedUp.map(describe).join("; ")}. ${hint} Nothing was changed.`, { freesAt });
}

function describe({ resource, max, windowSeconds, capabilityProfileId }: QuotaUsage): string {
  const whose =
    capabilityProfileId === null ? "the workspace's" : `the capability profile ${quote(capabilityProfileId)}'s`;
  return `${whose} quota of ${max} ${NOUNS[resource]}${windowSeconds ? ` in ${windowSeconds} s` : ""} is used up`;
}

const NOUNS = {
  TOKENS: "tokens",
  COST: "micro-units of cost",
  JOBS: "submitted jobs",
  ACTIVE_JOBS: "active jobs",
} as const satisfies Record<QuotaResource, string>;
