import { setTimeout as sleep } from "node:timers/promises";
import { type ClaimDemand, demandKey, type QueuePartition } from "./queue-partitions.ts";
import { type ClaimAiJobs, type Claimed, isEmpty, NOTHING } from "./request.ts";

export interface LongPollerOptions {
  /** Where something is due that one of these demands can do: one statement, whoever waits. */
  readonly listDue: (demands: readonly ClaimDemand[]) => Promise<readonly QueuePartition[]>;
  /** A claim that waits for nothing. */
  readonly claim: (request: ClaimAiJobs) => Promise<Claimed>;
  readonly onError: (error: unknown) => void;
}

/** Milliseconds from one look to the next though nobody was notified: time alone makes jobs due, and a hint may be lost. */
const POLL_MS = 250;
/** Milliseconds between two looks, at least: many commits in a row are one reason to look. */
const MIN_INTERVAL_MS = 10;

/** A request that waits. */
interface Waiter {
  readonly request: ClaimAiJobs;
  readonly answer: (claimed: Claimed) => void;
  /** A claim is under way for it: what it gets must reach it, even where its time is up meanwhile. */
  isClaiming: boolean;
  isLate: boolean;
}

/**
 * Requests that wait until something is due, in the order in which they came. When a look finds due jobs, those that can do
 * them claim one after another, until the first that finds them gone; so a thousand that wait cost the database one look,
 * and not a thousand.
 */
export class LongPoller {
  readonly #options: LongPollerOptions;
  readonly #waiters = new Set<Waiter>();
  #watching: Promise<void> | undefined;
  #notified: AbortController = new AbortController();
  #closed = false;

  constructor(options: LongPollerOptions) {
    this.#options = options;
  }

  /** How many requests wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Something may be due: after a commit here, or by a hint of another server. */
  notify(): void {
    if (this.#waiters.size > 0) this.#notified.abort();
  }

  /**
   * Claims as soon as something is due. Nothing was a moment ago.
   * @param waitMs milliseconds to wait; the answer is empty when they have passed.
   * @param signal aborted when the client has gone: the answer is empty, and nothing is taken for it any more.
   */
  wait(request: ClaimAiJobs, waitMs: number, signal?: AbortSignal): Promise<Claimed> {
    if (waitMs <= 0 || this.#closed) return Promise.resolve(NOTHING);
    return new Promise((resolve) => {
      const leave = () => {
        waiter.isLate = true;
        if (!waiter.isClaiming) waiter.answer(NOTHING);
      };
      const timer = setTimeout(leave, waitMs);
      const waiter: Waiter = {
        request,
        isClaiming: false,
        isLate: false,
        answer: (claimed) => {
          clearTimeout(timer);
          signal?.removeEventListener("abort", leave);
          this.#waiters.delete(waiter);
          resolve(claimed);
        },
      };
      if (signal?.aborted) return leave();
      signal?.addEventListener("abort", leave);
      this.#waiters.add(waiter);
      this.#watching ??= this.#watch();
    });
  }

  /** Answers everybody who waits, with nothing. Nobody waits any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiters) {
      waiter.isLate = true;
      if (!waiter.isClaiming) waiter.answer(NOTHING);
    }
    this.#notified.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (this.#waiters.size > 0) {
      this.#notified = new AbortController();
      try {
        await this.#serve(await this.#options.listDue(this.#demands()));
      } catch (error) {
        // The database is away or too busy: who waits goes on waiting.
        this.#options.onError(error);
      }
      await sleep(MIN_INTERVAL_MS);
      await sleep(POLL_MS, undefined, { signal: this.#notified.signal }).catch(() => undefined);
    }
    this.#watching = undefined;
  }

  /** What is waited for, each demand once. */
  #demands(): readonly ClaimDemand[] {
    return [...new Map([...this.#waiters].map(({ request }) => [demandKey(request), request])).values()];
  }

  /** Those who can do something of what is due claim in their order; of each demand, until the first that finds it gone. */
  async #serve(partitions: readonly QueuePartition[]): Promise<void> {
    const inVain = new Set<string>();
    for (const waiter of this.#waiters) {
      const { request } = waiter;
      const fitting = partitions.filter((partition) => fits(partition, request));
      // What is reserved for one worker is not gone because another one did not get it.
      const isOwn = fitting.some(({ reservedFor }) => reservedFor !== null);
      const key = isOwn ? `${demandKey(request)} ${request.workerId}` : demandKey(request);
      if (inVain.has(key) || fitting.length === 0) continue;
      if (!(await this.#claimFor(waiter))) inVain.add(key);
    }
  }

  /** @returns whether there was something for this one; where its claim fails, it goes to the end of the line. */
  async #claimFor(waiter: Waiter): Promise<boolean> {
    waiter.isClaiming = true;
    try {
      const claimed = await this.#options.claim(waiter.request);
      const found = !isEmpty(claimed);
      if (found) waiter.answer(claimed);
      return found;
    } catch (error) {
      // Those behind it may wait for the same, and are not to wait for it.
      this.#options.onError(error);
      if (this.#waiters.delete(waiter)) this.#waiters.add(waiter);
      return false;
    } finally {
      waiter.isClaiming = false;
      if (waiter.isLate) waiter.answer(NOTHING);
    }
  }
}

function fits({ workspaceId, jobKind, reservedFor }: QueuePartition, request: ClaimAiJobs): boolean {
  const isServed = request.workspaceId === null || request.workspaceId === workspaceId;
  const isMine = reservedFor === null || reservedFor === request.workerId;
  return isServed && isMine && (request.jobKinds?.includes(jobKind) ?? true);
}
