import { batchCalls } from "../db/batch.ts";
import type { AiJob } from "../db/generated/client/client.ts";
import { allWorkspaces, type Scope, within } from "../db/scope.ts";
import { inTransaction, isOutcomeUnknown, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { AppError, tryAgainOrRethrow } from "../errors.ts";
import { checkQuotas, isUsedUp, lockStartQuotas, usedUpForStarts } from "../quotas/admission.ts";
import type { QuotaUsage } from "../quotas/usage.ts";
import { acquireLeases, type Claim, type LeasedJob } from "./acquire-lease.ts";
import { type ClaimCriteria, type DueJob, selectAndLockJobs } from "./claim-query.ts";
import { assignRoundRobin, workspaceOfLastTurn } from "./fairness.ts";
import { guardAndDeliver } from "./guard-and-deliver.ts";
import { LongPoller } from "./long-poll.ts";
import { demandKey, listDuePartitions, nextWorkspaces } from "./queue-partitions.ts";
import { type ClaimAiJobs, type Claimed, isEmpty, NOTHING } from "./request.ts";

/**
 * The steps of a claim (section 6), and the function that does each:
 *
 * 1. Share (`createClaimer`): claims with the same demand that arrive while a transaction is under way share the next one.
 * 2. Select and lock due jobs, skipping rows that other transactions have locked (`selectAndLockJobs`).
 * 3. Admit the jobs that their quotas allow to start (`admitByQuotas`).
 * 4. Assign the jobs to the workers that claim (`assignRoundRobin`).
 * 5. Lease (`acquireLeases`): each job gets a run and is RUNNING. The transaction commits.
 * 6. Guard the jobs' inputs, outside any transaction, and deliver the lease tokens (`deliver`).
 * 7. Wait (`LongPoller`), if nothing was due and the request allows it; when jobs become due, begin again with step 1.
 */

/** Claims jobs for the workers of one server. */
export interface Claimer {
  /**
   * Claims the next due jobs, at once or as soon as there are any.
   * @param waitMs the most milliseconds to wait for a first job. Default 0.
   * @param signal when aborted (the client is gone), the wait ends and no further claim is made.
   * @returns the claimed jobs; an empty answer when none became due in time.
   * @throws TryAgainError when the database rolled the first claim back too often; no job is leased.
   */
  claim(request: ClaimAiJobs, waitMs?: number, signal?: AbortSignal): Promise<Claimed>;
  /** Tells the waiting requests that jobs may have become due, here or at another server. */
  notify(): void;
  /** The number of requests that wait for a job. */
  readonly waiting: number;
  /** Ends all waits with an empty answer. Later claims do not wait. */
  close(): Promise<void>;
}

/** The highest `limit` of a claim that shares a transaction: a larger claim gains nothing by sharing. */
const MAX_SHARED_LIMIT = 10;
/** The most claims that share a transaction. */
const MAX_SHARED_CLAIMS = 10;

/** @param onError called with the errors of background work, which no caller awaits. */
export function createClaimer(engine: EngineContext, onError: (error: unknown) => void): Claimer {
  const claimAlone = (request: ClaimAiJobs) => claimAiJobs(engine, request);
  const claimShared = batchCalls<ClaimAiJobs, Claimed>({
    keyOf: demandKey,
    maxCalls: MAX_SHARED_CLAIMS,
    send: "AFTER_PREVIOUS",
    runTogether: (requests) => claimTogether(engine, requests),
    runAlone: claimAlone,
    mayRunAgain: (error) => !isOutcomeUnknown(error),
  });
  const claimNow = (request: ClaimAiJobs) =>
    request.limit > MAX_SHARED_LIMIT ? claimAlone(request) : claimShared(request);
  const longPoller = new LongPoller({
    listDue: (demands) => within(allWorkspaces("claims"), () => listDuePartitions(engine.prisma, demands)),
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

/**
 * Claims the next due jobs in a transaction of its own, without waiting for any.
 * @returns the claimed jobs; an empty answer when none was due.
 * @throws TryAgainError when the database rolled the transaction back too often; no job is leased.
 */
export async function claimAiJobs(engine: EngineContext, request: ClaimAiJobs): Promise<Claimed> {
  const [leased = []] = await lease(engine, [request]);
  return deliver(engine, leased);
}

/**
 * Claims for several requests in one transaction.
 * @param requests all of one demand: the same workspace and kinds.
 * @returns one promise for each request, in their order, once the transaction has committed. A promise resolves when the jobs
 * of its request are guarded, so no request waits for the guarding of another one's jobs.
 */
async function claimTogether(
  engine: EngineContext,
  requests: readonly ClaimAiJobs[],
): Promise<readonly Promise<Claimed>[]> {
  const leased = await lease(engine, requests);
  const hasAnyJob = leased.some((leasedJobs) => leasedJobs.length > 0);
  return requests.map((request, index) => {
    const leasedJobs = leased[index] ?? [];
    // The jobs found may have been reserved for the other workers, or have filled the limit on documents, while more are due.
    const mayFindMore = leasedJobs.length === 0 && hasAnyJob;
    return mayFindMore ? claimAiJobs(engine, request) : deliver(engine, leasedJobs);
  });
}

/** Steps 2 to 5, in one transaction. @returns the jobs leased for each request, in the order of `requests`. */
async function lease(
  engine: EngineContext,
  requests: readonly ClaimAiJobs[],
): Promise<readonly (readonly LeasedJob[])[]> {
  const withoutNotify = { ...engine, notifyCommit: () => undefined };
  const { leased, nextStartAfter, hasChanges } = await inTransaction(withoutNotify, scopeOf(requests), (tx) =>
    leaseDueJobs(tx, engine, requests),
  );
  // No notification of a claim that changed nothing: it would make the waiting requests poll and claim, those claims would
  // notify in turn, and so on without end.
  if (hasChanges) engine.notifyCommit();
  // Only after the commit: in a transaction that was rolled back, no workspace had its turn.
  if (nextStartAfter !== undefined) engine.rotation.startAfter = nextStartAfter;
  return leased;
}

/** A claim of no workspace is one of all; claims that come together share a transaction. */
function scopeOf(requests: readonly ClaimAiJobs[]): Scope {
  const ids = requests.flatMap(({ workspaceId }) => workspaceId ?? []);
  return ids.length === requests.length ? ids : allWorkspaces("claims");
}

interface Leases {
  /** The jobs leased for each request, in the order of the requests. */
  readonly leased: readonly (readonly LeasedJob[])[];
  /** The workspace after which the next claim begins its turns; undefined to leave the rotation as it is. */
  readonly nextStartAfter: string | undefined;
  /** Whether any job was changed. */
  readonly hasChanges: boolean;
}

async function leaseDueJobs(tx: Transaction, engine: EngineContext, requests: readonly ClaimAiJobs[]): Promise<Leases> {
  const criteria = criteriaOf(requests);
  if (!criteria) return { leased: [], nextStartAfter: undefined, hasChanges: false };
  const { startAfter } = engine.rotation;
  const { jobs, nextStartAfter } = await selectAdmittedJobs(tx, criteria, startAfter);
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
    nextStartAfter: isRotating ? (workspaceOfLastTurn(assigned, startAfter) ?? nextStartAfter) : undefined,
    hasChanges: assignments.length > 0,
  };
}

/** @returns what requests of one demand ask for together; undefined when there are no requests. */
function criteriaOf(requests: readonly ClaimAiJobs[]): ClaimCriteria | undefined {
  const [first] = requests;
  if (!first) return undefined;
  const { workspaceId, jobKinds } = first;
  const limit = requests.reduce((sum, request) => sum + request.limit, 0);
  return { workspaceId, jobKinds, limit, workerIds: requests.map(({ workerId }) => workerId) };
}

interface Selection {
  readonly jobs: readonly DueJob[];
  /** Set only when no job was found: the last workspace that this claim looked at. The next claim begins its turns after it. */
  readonly nextStartAfter: string | undefined;
}

/** Steps 2 and 3: selects and locks due jobs that their quotas allow to start. */
async function selectAdmittedJobs(tx: Transaction, criteria: ClaimCriteria, startAfter: string): Promise<Selection> {
  const due = await selectAndLockJobs(tx, criteria, startAfter);
  const withQuota = due.filter(({ hasQuota }) => hasQuota);
  const quotas = withQuota.length === 0 ? [] : await lockStartQuotas(tx, withQuota);
  if (quotas.some(isUsedUp)) return selectPastUsedUpQuotas(tx, criteria, startAfter);
  return { jobs: admitByQuotas(quotas, due), nextStartAfter: undefined };
}

/**
 * @returns the jobs that their quotas allow to start; the other jobs stay queued. Each admitted job counts against the quota
 * for the jobs after it.
 */
function admitByQuotas(quotas: readonly QuotaUsage[], due: readonly DueJob[]): readonly DueJob[] {
  const refusals = checkQuotas(due, quotas);
  return due.filter((_, index) => !refusals[index]);
}

/**
 * Selects again, after some of the due jobs turned out to have used-up quotas, and now skips the jobs of all used-up quotas.
 * Otherwise those jobs would take up the claim's limit, and workspaces with a free quota would miss their turns.
 *
 * One claim looks at a limited number of workspaces. When it finds no job in any of them and there are more, the next claim
 * begins after the last of them. Otherwise every claim would look at the same workspaces, and never reach the others.
 */
async function selectPastUsedUpQuotas(
  tx: Transaction,
  criteria: ClaimCriteria,
  startAfter: string,
): Promise<Selection> {
  const { workspaceIds, areAll } = await nextWorkspaces(tx, criteria, startAfter);
  const due = await selectAndLockJobs(tx, criteria, startAfter, await usedUpForStarts(tx, workspaceIds));
  const jobs = admitByQuotas(await lockStartQuotas(tx, due), due);
  return { jobs, nextStartAfter: jobs.length === 0 && !areAll ? workspaceIds.at(-1) : undefined };
}

/** Step 6, one job after another. */
async function deliver(engine: EngineContext, leased: readonly LeasedJob[]): Promise<Claimed> {
  const claims: Claim[] = [];
  const poisoned: AiJob[] = [];
  for (const leasedJob of leased) {
    // Where the database was too busy for what the guards led to, the job is not delivered, and recovery queues it again when its
    // lease expires. The claim goes on: the leases of its other jobs are committed, and nobody would have their tokens.
    const outcome = await guardAndDeliver(engine, leasedJob).catch(tryAgainOrRethrow);
    if ("leaseToken" in outcome) claims.push(outcome);
    else if (!(outcome instanceof AppError)) poisoned.push(outcome.job);
  }
  return { claims, poisoned };
}
