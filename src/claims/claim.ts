import type { AiJob } from "../db/generated/client/client.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError, TryAgainError } from "../errors.ts";
import type { LockedJob } from "../jobs/lock.ts";
import { checkQuotas, isUsedUp, lockStartQuotas, usedUpForStarts } from "../quotas/admission.ts";
import type { QuotaUsage } from "../quotas/usage.ts";
import { acquireLeases, type Claim, type LeasedJob } from "./acquire-lease.ts";
import { type ClaimCriteria, type DueJob, nextWorkspaces, selectAndLockJobs } from "./claim-query.ts";
import { assignRoundRobin, type Claimant } from "./fairness.ts";
import { guardAndDeliver } from "./guard-and-deliver.ts";

/** What one worker asks for. */
export type ClaimAiJobs = Claimant & Omit<ClaimCriteria, "workerIds">;

export interface Claimed {
  readonly claims: readonly Claim[];
  /** Jobs that a guard stopped instead of handing them out. */
  readonly poisoned: readonly AiJob[];
}

/**
 * Takes the next due jobs (section 6): the batch is leased in one transaction and a fixed number of statements, its
 * inputs are guarded outside of it, jobs that trip are poisoned one by one, and only then tokens are handed out.
 */
export async function claimAiJobs(engine: Engine, input: ClaimAiJobs): Promise<Claimed> {
  const [leased = []] = await lease(engine, [input]);
  return deliverAll(engine, leased);
}

/**
 * The same for several who ask for the same at the same time, in one transaction; each is answered as soon as its own
 * jobs are guarded.
 * @param asking who want the kinds and the workspace that the first of them wants.
 */
export async function claimTogether(
  engine: Engine,
  asking: readonly ClaimAiJobs[],
): Promise<readonly Promise<Claimed>[]> {
  const leased = await lease(engine, asking);
  const foundSome = leased.some((theirs) => theirs.length > 0);
  return asking.map((input, index) => {
    const theirs = leased[index] ?? [];
    // What was there may have been kept for one of the others, or too large to be handed out together.
    const isLeftOut = theirs.length === 0 && foundSome;
    return isLeftOut ? claimAiJobs(engine, input) : deliverAll(engine, theirs);
  });
}

/** @returns what each of them got, in their order. */
async function lease(engine: Engine, asking: readonly ClaimAiJobs[]): Promise<readonly (readonly LeasedJob[])[]> {
  const { leased, turn, isNews } = await inTransaction({ ...engine, notifyCommit: () => undefined }, (tx) =>
    leaseDue(tx, engine, asking),
  );
  // A claim that took nothing wakes nobody: those who wait would look again, try, wake each other, and so on.
  if (isNews) engine.notifyCommit();
  // Not before the commit: what gave way has served nobody.
  if (turn !== undefined) engine.rotation.last = turn;
  return leased;
}

async function deliverAll(engine: Engine, leased: readonly LeasedJob[]): Promise<Claimed> {
  const claims: Claim[] = [];
  const poisoned: AiJob[] = [];
  for (const one of leased) {
    const outcome = await guardAndDeliver(engine, one).catch(busy);
    if ("leaseToken" in outcome) claims.push(outcome);
    else if (!(outcome instanceof AppError)) poisoned.push(outcome.job);
  }
  return { claims, poisoned };
}

/**
 * The database had no time to do what a guard's finding asks for: nobody gets this job before its lease ends. The others
 * are handed out, for their leases are committed; TRY_AGAIN for all of them would lose them.
 */
function busy(error: unknown): TryAgainError {
  if (error instanceof TryAgainError) return error;
  throw error;
}

interface Batch {
  /** What each of those who asked got. */
  readonly leased: readonly (readonly LeasedJob[])[];
  /** The workspace whose turn was the last. */
  readonly turn: string | undefined;
  /** Whether any job was changed. */
  readonly isNews: boolean;
}

async function leaseDue(tx: Transaction, engine: Engine, asking: readonly ClaimAiJobs[]): Promise<Batch> {
  const { last } = engine.rotation;
  const [first] = asking;
  if (!first) return { leased: [], turn: undefined, isNews: false };
  const { workspaceId, jobKinds } = first;
  const limit = asking.reduce((sum, one) => sum + one.limit, 0);
  const wanted = { workspaceId, jobKinds, limit, workerIds: asking.map(({ workerId }) => workerId) };
  const due = await selectAndLockJobs(tx, wanted, last);
  const metered = due.filter(({ hasQuota: isMetered }) => isMetered);
  const quotas = metered.length === 0 ? [] : await lockStartQuotas(tx, metered);
  const { jobs, turn } = quotas.some(isUsedUp)
    ? await selectPastUsedUpQuotas(tx, wanted, last)
    : { jobs: admitByQuotas(quotas, due), turn: undefined };
  const taken = assignRoundRobin(jobs, asking);
  const outcomes = await acquireLeases(tx, engine, taken);
  const leased = asking.map((one) =>
    outcomes.flatMap((outcome, index) => ("claim" in outcome && taken[index]?.worker === one ? [outcome] : [])),
  );
  const dealt = taken.map(({ job }) => job);
  const served = workspaceId === null ? (lastServed(dealt, last) ?? turn) : undefined;
  return { leased, turn: served, isNews: taken.length > 0 };
}

/** Those that their quotas allow to start, each of them counted for those after it. The others stay queued. */
function admitByQuotas(quotas: readonly QuotaUsage[], due: readonly DueJob[]): readonly DueJob[] {
  const refusals = checkQuotas(due, quotas);
  return due.filter((_, index) => !refusals[index]);
}

/**
 * Some of what was due is of quotas that are used up: the claim looks once more and passes those over that have none left,
 * so that the others have their turns as if nobody else were there. Where there are more than one claim looks at, one that
 * still finds nothing has given all of those their turn: the next one goes on.
 */
async function selectPastUsedUpQuotas(
  tx: Transaction,
  wanted: ClaimCriteria,
  last: string,
): Promise<{ readonly jobs: readonly DueJob[]; readonly turn: string | undefined }> {
  const { workspaceIds, areAll } = await nextWorkspaces(tx, wanted, last);
  const due = await selectAndLockJobs(tx, wanted, last, await usedUpForStarts(tx, workspaceIds));
  const jobs = admitByQuotas(await lockStartQuotas(tx, due), due);
  return { jobs, turn: jobs.length === 0 && !areAll ? workspaceIds.at(-1) : undefined };
}

/** Of the workspaces that were served most often in this claim, the last in the order of their turns. */
function lastServed(jobs: readonly LockedJob[], before: string): string | undefined {
  const served = new Map<string, number>();
  for (const { workspaceId } of jobs) served.set(workspaceId, (served.get(workspaceId) ?? 0) + 1);
  const max = Math.max(0, ...served.values());
  const rounds = [...served].filter(([, times]) => times === max).map(([workspaceId]) => workspaceId);
  // Ids compare as texts as they do in the database; the turns began after `before`, and went on from the beginning.
  const again = rounds.filter((id) => id <= before);
  return (again.length > 0 ? again : rounds).toSorted().at(-1);
}
