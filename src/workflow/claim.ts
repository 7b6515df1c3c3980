import { AppError, TryAgainError } from "../errors.ts";
import { refuseStartsByQuota, usedUpForStarts } from "../quotas/admission.ts";
import type { LockedJob, Transaction } from "../recorder/commit.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { AiJob } from "../storage/generated/client/client.ts";
import { lockDueJobs, type Wanted } from "./due.ts";
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
  const usedUp = await usedUpForStarts(tx, input.workspaceId);
  const due = await lockDueJobs(tx, input, last, usedUp);
  // Undefined: no quota is about any start. A job that one forbids stays queued, and is free again after this.
  const refusals = usedUp && due.length > 0 ? await refuseStartsByQuota(tx, due) : [];
  const jobs = due.filter((_, index) => !refusals[index]);
  const { leased } = await leaseJobs(tx, engine, jobs, input);
  const turn = input.workspaceId === null ? lastServed(jobs, last) : undefined;
  return { leased, turn, isNews: jobs.length > 0 };
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
