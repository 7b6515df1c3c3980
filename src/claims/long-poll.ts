import { setTimeout as sleep } from "node:timers/promises";
import { type ClaimDemand, demandKey, type QueuePartition } from "./queue-partitions.ts";
import { type ClaimAiJobs, type Claimed, isEmpty, NOTHING } from "./request.ts";

export interface LongPollerOptions {
  /** Lists the partitions with a due job that matches one of these demands, in one statement for all waiting requests. */
  readonly listDue: (demands: readonly ClaimDemand[]) => Promise<readonly QueuePartition[]>;
  /** Claims without waiting. */
  readonly claim: (request: ClaimAiJobs) => Promise<Claimed>;
  /** Called with the errors of background work, which no caller awaits. */
  readonly onError: (error: unknown) => void;
}

/** Milliseconds between two polls without a notification: jobs become due by time alone, too, and hints may get lost. */
const POLL_MS = 250;
/** The least milliseconds between two polls, so that many commits in a row cause one poll and not one each. */
const MIN_POLL_INTERVAL_MS = 10;

/** A waiting request. */
interface Waiter {
  readonly request: ClaimAiJobs;
  /** Ends the wait with this answer. */
  readonly answer: (claimed: Claimed) => void;
  /** A claim for this request is under way. The wait must not end before it, or the jobs that it leases would be lost. */
  isClaiming: boolean;
  /** The wait is over (its time is up, the client is gone, or the server closes) as soon as no claim is under way. */
  isStopped: boolean;
}

/**
 * Requests that wait for a due job, in the order of their arrival. After a poll that finds due jobs, the requests that could
 * take them claim one after another. When a claim finds nothing, the requests with the same demand are skipped until the
 * next poll. So a thousand waiting requests cost the database one statement for each poll, and not a thousand claims.
 */
export class LongPoller {
  readonly #options: LongPollerOptions;
  readonly #waiters = new Set<Waiter>();
  #polling: Promise<void> | undefined;
  #notified: AbortController = new AbortController();
  #isClosed = false;

  constructor(options: LongPollerOptions) {
    this.#options = options;
  }

  /** The number of waiting requests. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Makes the next poll come at once. Call it when jobs may have become due: after a commit here or at another server. */
  notify(): void {
    if (this.#waiters.size > 0) this.#notified.abort();
  }

  /**
   * Waits until jobs are due, then claims. Call it after a claim that found nothing.
   * @param waitMs the most milliseconds to wait for a first job.
   * @param signal when aborted (the client is gone), the wait ends and no further claim is made.
   * @returns what was claimed; NOTHING when the time is up, `signal` is aborted or the server closes.
   */
  wait(request: ClaimAiJobs, waitMs: number, signal?: AbortSignal): Promise<Claimed> {
    if (waitMs <= 0 || this.#isClosed) return Promise.resolve(NOTHING);
    return new Promise((resolve) => {
      const onStop = () => stop(waiter);
      const timer = setTimeout(onStop, waitMs);
      const waiter: Waiter = {
        request,
        isClaiming: false,
        isStopped: false,
        answer: (claimed) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onStop);
          this.#waiters.delete(waiter);
          resolve(claimed);
        },
      };
      if (signal?.aborted) return onStop();
      signal?.addEventListener("abort", onStop);
      this.#waiters.add(waiter);
      this.#polling ??= this.#poll();
    });
  }

  /** Answers all waiting requests with NOTHING, and every later one. Resolves when no claim of theirs is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const waiter of this.#waiters) stop(waiter);
    this.#notified.abort();
    await this.#polling;
  }

  /** Polls for as long as requests wait. Never rejects. */
  async #poll(): Promise<void> {
    while (this.#waiters.size > 0) {
      this.#notified = new AbortController();
      try {
        await this.#serve(await this.#options.listDue(this.#demands()));
      } catch (error) {
        // The database is unreachable or too busy: the requests keep waiting, and the next poll tries again.
        this.#options.onError(error);
      }
      await sleep(MIN_POLL_INTERVAL_MS);
      await sleep(POLL_MS, undefined, { signal: this.#notified.signal }).catch(() => undefined);
    }
    this.#polling = undefined;
  }

  /** @returns the demands of all waiting requests, equal ones once. */
  #demands(): readonly ClaimDemand[] {
    return [...new Map([...this.#waiters].map(({ request }) => [demandKey(request), request])).values()];
  }

  /** Lets the waiting requests that could take a due job claim, in order, until a claim of the same demand finds nothing. */
  async #serve(partitions: readonly QueuePartition[]): Promise<void> {
    const exhausted = new Set<string>();
    for (const waiter of this.#waiters) {
      const { request } = waiter;
      const matching = partitions.filter((partition) => matches(partition, request));
      // A job that is reserved for this worker is not gone when another worker with the same demand found nothing.
      const hasReserved = matching.some(({ reservedFor }) => reservedFor !== null);
      const key = hasReserved ? `${demandKey(request)} ${request.workerId}` : demandKey(request);
      if (exhausted.has(key) || matching.length === 0) continue;
      if (!(await this.#claimFor(waiter))) exhausted.add(key);
    }
  }

  /** @returns whether the claim found a job. When it fails, the request keeps waiting, as the last in order. */
  async #claimFor(waiter: Waiter): Promise<boolean> {
    waiter.isClaiming = true;
    try {
      const claimed = await this.#options.claim(waiter.request);
      const hasJobs = !isEmpty(claimed);
      if (hasJobs) waiter.answer(claimed);
      return hasJobs;
    } catch (error) {
      // Moved to the end: otherwise a request whose claims always fail would delay the requests behind it at every poll.
      this.#options.onError(error);
      if (this.#waiters.delete(waiter)) this.#waiters.add(waiter);
      return false;
    } finally {
      waiter.isClaiming = false;
      if (waiter.isStopped) waiter.answer(NOTHING);
    }
  }
}

function stop(waiter: Waiter): void {
  waiter.isStopped = true;
  if (!waiter.isClaiming) waiter.answer(NOTHING);
}

/** Tells whether a request could take a job of this partition. */
function matches({ workspaceId, jobKind, reservedFor }: QueuePartition, request: ClaimAiJobs): boolean {
  const isInWorkspace = request.workspaceId === null || request.workspaceId === workspaceId;
  const mayTake = reservedFor === null || reservedFor === request.workerId;
  return isInWorkspace && mayTake && (request.jobKinds?.includes(jobKind) ?? true);
}
