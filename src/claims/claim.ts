import { batchCalls } from "../db/batch.ts";
import type { AiJob } from "../db/generated/client/client.ts";
import { inTransaction, isOutcomeUnknown, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError, TryAgainError } from "../errors.ts";
import { checkQuotas, isUsedUp, lockStartQuotas, usedUpForStarts } from "../quotas/admission.ts";
import type { QuotaUsage } from "../quotas/usage.ts";
import { acquireLeases, type Claim, type LeasedJob } from "./acquire-lease.ts";
import { type ClaimCriteria, type DueJob, selectAndLockJobs } from "./claim-query.ts";
import { assignRoundRobin, lastServedWorkspace } from "./fairness.ts";
import { guardAndDeliver } from "./guard-and-deliver.ts";
import { LongPoller } from "./long-poll.ts";
import { demandKey, listDuePartitions, nextWorkspaces } from "./queue-partitions.ts";
import { type ClaimAiJobs, type Claimed, isEmpty, NOTHING } from "./request.ts";

/**
 * The way of a claim (section 6), in the order of this file:
 *
 * 1. share: claims that ask for the same while a transaction is under way go together in the next one
 * 2. select and lock due jobs, without waiting for rows that others hold
 * 3. admit by quotas those that may start
 * 4. assign them to the workers that ask
 * 5. lease: each job gets a run and is RUNNING; then the transaction commits
 * 6. guard the inputs, outside any transaction, and deliver the lease tokens
 * 7. wait, only where the caller waits and nothing was due: then again from 1, when something is
 */

/** The claims of one server. */
export interface Claimer {
  /**
   * Takes the next due jobs, at once or as soon as there are some.
   * @param waitMs milliseconds to wait for a first job; the answer is empty when they have passed.
   * @param signal aborted when the client has gone: it waits no longer, and takes nothing.
   */
  claim(request: ClaimAiJobs, waitMs?: number, signal?: AbortSignal): Promise<Claimed>;
  /** Something may have become due: here, or at another server. */
  notify(): void;
  /** How many requests wait for a job. */
  readonly waiting: number;
  /** Answers everybody who waits, with nothing. No request waits afterwards. */
  close(): Promise<void>;
}

/** Jobs of a claim that shares its transaction, at most: a claim for more has no need of others. */
const MAX_SHARED_LIMIT = 10;
/** Claims that share a transaction, at most. */
const MAX_SHARED_CLAIMS = 10;

/** @param onError hears of failures of background work: nobody waits for their answer. */
export function createClaimer(engine: Engine, onError: (error: unknown) => void): Claimer {
  const alone = (request: ClaimAiJobs) => claimAiJobs(engine, request);
  const shared = batchCalls<ClaimAiJobs, Claimed>({
    keyOf: demandKey,
    maxCalls: MAX_SHARED_CLAIMS,
    send: "AFTER_PREVIOUS",
    runTogether: (requests) => claimTogether(engine, requests),
    runAlone: alone,
    mayRunAgain: (error) => !isOutcomeUnknown(error),
  });
  const claimNow = (request: ClaimAiJobs) => (request.limit > MAX_SHARED_LIMIT ? alone(request) : shared(request));
  const longPoller = new LongPoller({
    listDue: (demands) => listDuePartitions(engine.prisma, demands),
    claim: claimNow,
    onError,
  });
  return {
    claim: async (request, waitMs = 0, signal) => {
      if (signal?.aborted) return NOTHING;
      const deadline = performance.now() + waitMs;
      const claimed = await claimNow(request);
      return isEmpty(claimed) ? longPoller.wait(request, deadline - performance.now(), signal) : claimed;
    },
    notify: () => longPoller.notify(),
    get waiting() {
      return longPoller.size;
    },
    close: () => longPoller.close(),
  };
}

/** Takes the next due jobs in a transaction of its own, and waits for none. */
export async function claimAiJobs(engine: Engine, request: ClaimAiJobs): Promise<Claimed> {
  const [leased = []] = await lease(engine, [request]);
  return deliver(engine, leased);
}

/**
 * The same for several workers at once, in one transaction. Each is answered as soon as its own jobs are guarded.
 * @param requests with one demand: the same workspace and kinds.
 */
async function claimTogether(engine: Engine, requests: readonly ClaimAiJobs[]): Promise<readonly Promise<Claimed>[]> {
  const leased = await lease(engine, requests);
  const foundSome = leased.some((theirs) => theirs.length > 0);
  return requests.map((request, index) => {
    const theirs = leased[index] ?? [];
    // What was there may have been reserved for one of the others, or too large to be delivered together.
    const wasLeftOut = theirs.length === 0 && foundSome;
    return wasLeftOut ? claimAiJobs(engine, request) : deliver(engine, theirs);
  });
}

/** Steps 2 to 5, in one transaction. @returns what each of the requests got, in their order. */
async function lease(engine: Engine, requests: readonly ClaimAiJobs[]): Promise<readonly (readonly LeasedJob[])[]> {
  const silent = { ...engine, notifyCommit: () => undefined };
  const { leased, servedLast, hasChanges } = await inTransaction(silent, (tx) => leaseDueJobs(tx, engine, requests));
  // A claim that took nothing notifies nobody: those who wait would look again, try, notify each other, and so on.
  if (hasChanges) engine.notifyCommit();
  // Not before the commit: a transaction that was rolled back has served nobody.
  if (servedLast !== undefined) engine.rotation.lastWorkspaceId = servedLast;
  return leased;
}

interface Leases {
  /** What each of the requests got. */
  readonly leased: readonly (readonly LeasedJob[])[];
  /** The workspace after which the next claim goes on; undefined where it goes on as before. */
  readonly servedLast: string | undefined;
  /** Whether any job was changed. */
  readonly hasChanges: boolean;
}

async function leaseDueJobs(tx: Transaction, engine: Engine, requests: readonly ClaimAiJobs[]): Promise<Leases> {
  const criteria = criteriaOf(requests);
  if (!criteria) return { leased: [], servedLast: undefined, hasChanges: false };
  const { lastWorkspaceId: last } = engine.rotation;
  const { jobs, servedLast } = await selectAdmittedJobs(tx, criteria, last);
  const assignments = assignRoundRobin(jobs, requests);
  const outcomes = await acquireLeases(tx, engine, assignments);
  const leased = requests.map((request) =>
    outcomes.flatMap((outcome, index) =>
      "claim" in outcome && assignments[index]?.worker === request ? [outcome] : [],
    ),
  );
  const assigned = assignments.map(({ job }) => job);
  const isRotating = criteria.workspaceId === null;
  return {
    leased,
    servedLast: isRotating ? (lastServedWorkspace(assigned, last) ?? servedLast) : undefined,
    hasChanges: assignments.length > 0,
  };
}

/** What several requests of one demand ask for together; undefined for none. */
function criteriaOf(requests: readonly ClaimAiJobs[]): ClaimCriteria | undefined {
  const [first] = requests;
  if (!first) return undefined;
  const { workspaceId, jobKinds } = first;
  const limit = requests.reduce((sum, request) => sum + request.limit, 0);
  return { workspaceId, jobKinds, limit, workerIds: requests.map(({ workerId }) => workerId) };
}

interface Selection {
  readonly jobs: readonly DueJob[];
  /** Set where workspaces were passed over as a whole: the next claim goes on after this one. */
  readonly servedLast: string | undefined;
}

/** Steps 2 and 3: due jobs that this transaction holds and that their quotas allow to start. */
async function selectAdmittedJobs(tx: Transaction, criteria: ClaimCriteria, last: string): Promise<Selection> {
  const due = await selectAndLockJobs(tx, criteria, last);
  const withQuota = due.filter(({ hasQuota }) => hasQuota);
  const quotas = withQuota.length === 0 ? [] : await lockStartQuotas(tx, withQuota);
  if (quotas.some(isUsedUp)) return selectPastUsedUpQuotas(tx, criteria, last);
  return { jobs: admitByQuotas(quotas, due), servedLast: undefined };
}

/** Those that their quotas allow to start, each of them counted for those after it. The others stay queued. */
function admitByQuotas(quotas: readonly QuotaUsage[], due: readonly DueJob[]): readonly DueJob[] {
  const refusals = checkQuotas(due, quotas);
  return due.filter((_, index) => !refusals[index]);
}

/**
 * Some of what was due is of quotas that are used up: the claim looks once more and passes those over that have none left,
 * so that the others have their turns as if nobody else were there. Where there are more workspaces than one claim looks
 * at, one that still finds nothing has given all of those their turn: the next one goes on after them.
 */
async function selectPastUsedUpQuotas(tx: Transaction, criteria: ClaimCriteria, last: string): Promise<Selection> {
  const { workspaceIds, areAll } = await nextWorkspaces(tx, criteria, last);
  const due = await selectAndLockJobs(tx, criteria, last, await usedUpForStarts(tx, workspaceIds));
  const jobs = admitByQuotas(await lockStartQuotas(tx, due), due);
  return { jobs, servedLast: jobs.length === 0 && !areAll ? workspaceIds.at(-1) : undefined };
}

/** Step 6, job by job. */
async function deliver(engine: Engine, leased: readonly LeasedJob[]): Promise<Claimed> {
  const claims: Claim[] = [];
  const poisoned: AiJob[] = [];
  for (const one of leased) {
    const outcome = await guardAndDeliver(engine, one).catch(toTryAgain);
    if ("leaseToken" in outcome) claims.push(outcome);
    else if (!(outcome instanceof AppError)) poisoned.push(outcome.job);
  }
  return { claims, poisoned };
}

/**
 * The database had no time to do what a guard's finding asks for: nobody gets this job before its lease ends. The others
 * are delivered, for their leases are committed; TRY_AGAIN for all of them would lose them.
 */
function toTryAgain(error: unknown): TryAgainError {
  if (error instanceof TryAgainError) return error;
  throw error;
}
