import { AppError, TryAgainError } from "../errors.ts";
import { isUsedUp, judge, lockStartQuotas, usedUpForStarts } from "../quotas/admission.ts";
import type { QuotaUse } from "../quotas/use.ts";
import type { LockedJob, Transaction } from "../recorder/commit.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { AiJob } from "../storage/generated/client/client.ts";
import { type DueJob, lockDueJobs, type Wanted, workspacesInTurn } from "./due.ts";
import type { Engine } from "./engine.ts";
import { handOut } from "./hand-out.ts";
import { type Claim, type Leased, leaseJobs, type Worker } from "./leasing.ts";

export type ClaimAiJobs = Worker & Wanted;

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
  const { leased, turn, isNews } = await inTransaction({ ...engine, wake: () => undefined }, (tx) =>
    leaseDue(tx, engine, input),
  );
  // A claim that took nothing wakes nobody: those who wait would look again, try, wake each other, and so on.
  if (isNews) engine.wake();
  // Not before the commit: what gave way has served nobody.
  if (turn !== undefined) engine.turns.last = turn;
  const claims: Claim[] = [];
  const poisoned: AiJob[] = [];
  for (const one of leased) {
    const outcome = await handOut(engine, one).catch(busy);
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
  readonly leased: readonly Leased[];
  /** The workspace whose turn was the last. */
  readonly turn: string | undefined;
  /** Whether any job was changed. */
  readonly isNews: boolean;
}

async function leaseDue(tx: Transaction, engine: Engine, input: ClaimAiJobs): Promise<Batch> {
  const { last } = engine.turns;
  const due = await lockDueJobs(tx, input, last);
  const metered = due.filter(({ isMetered }) => isMetered);
  const quotas = metered.length === 0 ? [] : await lockStartQuotas(tx, metered);
  const admitted = admittedBy(quotas, due);
  const { jobs, turn } = quotas.some(isUsedUp)
    ? await goOnElsewhere(tx, input, last, due, admitted)
    : { jobs: admitted, turn: undefined };
  const { leased } = await leaseJobs(tx, engine, jobs, input);
  const served = input.workspaceId === null ? (lastServed(jobs, last) ?? turn) : undefined;
  return { leased, turn: served, isNews: jobs.length > 0 };
}

/** Those that their quotas allow to start, each of them counted for those after it. The others stay queued. */
function admittedBy(quotas: readonly QuotaUse[], due: readonly DueJob[]): readonly DueJob[] {
  const refusals = judge(due, quotas);
  return due.filter((_, index) => !refusals[index]);
}

/**
 * Some of what was due is of quotas that are used up: those that have none left are passed over now, and what is wanted is
 * looked for elsewhere. A claim that still finds nothing has given all that it looked at their turn: the next one goes on.
 */
async function goOnElsewhere(
  tx: Transaction,
  input: ClaimAiJobs,
  last: string,
  due: readonly DueJob[],
  admitted: readonly DueJob[],
): Promise<{ readonly jobs: readonly DueJob[]; readonly turn: string | undefined }> {
  const workspaceIds = await workspacesInTurn(tx, input, last);
  const passedOver = { usedUp: await usedUpForStarts(tx, workspaceIds), jobIds: due.map(({ jobId }) => jobId) };
  const more = await lockDueJobs(tx, { ...input, limit: input.limit - admitted.length }, last, passedOver);
  const both = [...admitted, ...more].toSorted(byUrgency);
  const jobs = admittedBy(await lockStartQuotas(tx, both), both);
  return { jobs, turn: jobs.length === 0 ? workspaceIds.at(-1) : undefined };
}

/** The order in which a workspace's jobs are taken, and in which an answer has them. */
function byUrgency(one: LockedJob, other: LockedJob): number {
  const byAge = one.createdAt.getTime() - other.createdAt.getTime() || (one.jobId < other.jobId ? -1 : 1);
  return other.priority - one.priority || byAge;
}

/** Of the workspaces that were served most often in this claim, the last in the order of their turns. */
function lastServed(jobs: readonly LockedJob[], before: string): string | undefined {
  const served = new Map<string, number>();
  for (const { workspaceId } of jobs) served.set(workspaceId, (served.get(workspaceId) ?? 0) + 1);
  const most = Math.max(0, ...served.values());
  const rounds = [...served].filter(([, times]) => times === most).map(([workspaceId]) => workspaceId);
  // Ids compare as texts as they do in the database; the turns began after `before`, and went on from the beginning.
  const again = rounds.filter((id) => id <= before);
  return (again.length > 0 ? again : rounds).toSorted().at(-1);
}
