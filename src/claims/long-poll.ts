import { setTimeout as sleep } from "node:timers/promises";
import type { Engine } from "../engine.ts";
import type { ClaimAiJobs, Claimed } from "./claim.ts";
import { type ClaimDemand, demandKey, listDuePartitions, type QueuePartition } from "./claim-query.ts";
import { coalesceClaims } from "./coalesce.ts";

export interface LongPollerOptions {
  /** Where something is due of what is waited for: one statement, whoever waits. */
  readonly look: (wants: readonly ClaimDemand[]) => Promise<readonly QueuePartition[]>;
  readonly claim: (wanted: ClaimAiJobs) => Promise<Claimed>;
  /** Milliseconds from one look to the next though nobody called: time alone makes jobs due, and other servers do. */
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}

/** How soon a job is seen that another server queued, or that time made due, at the latest. */
const POLL_MS = 250;
/** Milliseconds between two looks, at least: many commits in a row are one reason to look. */
const SOONEST_MS = 10;

interface Waiter {
  readonly wanted: ClaimAiJobs;
  readonly answer: (claimed: Claimed) => void;
  /** It is its turn: what it gets must reach it, though its time be up meanwhile. */
  isTrying: boolean;
  isLate: boolean;
}

/**
 * Workers that wait until something is due. One of them, in the order in which they came, tries when a look finds what
 * it can do; so a thousand that wait cost the database one look, and not a thousand.
 */
export class LongPoller {
  readonly #options: LongPollerOptions;
  readonly #waiters = new Set<Waiter>();
  #watching: Promise<void> | undefined;
  #called: AbortController = new AbortController();
  #closed = false;

  constructor(options: LongPollerOptions) {
    this.#options = options;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Something may be due: a commit here, or a hint of another server. */
  notify(): void {
    if (this.#waiters.size > 0) this.#called.abort();
  }

  /**
   * Claims, at once or as soon as something is due.
   * @param waitMs the longest wait; the answer is empty then.
   * @param signal the client has gone: it waits no more, and takes nothing.
   */
  async claim(wanted: ClaimAiJobs, waitMs: number, signal?: AbortSignal): Promise<Claimed> {
    if (signal?.aborted) return NOTHING;
    const deadline = performance.now() + waitMs;
    const claimed = await this.#options.claim(wanted);
    if (!isEmpty(claimed) || this.#closed) return claimed;
    const left = deadline - performance.now();
    return left > 0 ? this.#wait(wanted, left, signal) : claimed;
  }

  #wait(wanted: ClaimAiJobs, milliseconds: number, signal: AbortSignal | undefined): Promise<Claimed> {
    return new Promise((resolve) => {
      const leave = () => {
        waiter.isLate = true;
        if (!waiter.isTrying) waiter.answer(NOTHING);
      };
      const timer = setTimeout(leave, milliseconds);
      const waiter: Waiter = {
        wanted,
        isTrying: false,
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

  /** Everybody who waits is answered, and nobody waits any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiters) {
      waiter.isLate = true;
      if (!waiter.isTrying) waiter.answer(NOTHING);
    }
    this.#called.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (this.#waiters.size > 0) {
      this.#called = new AbortController();
      try {
        await this.#serve(await this.#options.look(this.#wants()));
      } catch (error) {
        // The database is away or too busy: who waits goes on waiting.
        this.#options.onError(error);
      }
      await sleep(SOONEST_MS);
      await sleep(this.#options.pollMs, undefined, { signal: this.#called.signal }).catch(() => undefined);
    }
    this.#watching = undefined;
  }

  /** What is waited for, each of it once. */
  #wants(): readonly ClaimDemand[] {
    return [...new Map([...this.#waiters].map(({ wanted }) => [demandKey(wanted), wanted])).values()];
  }

  /** Those who can do something of what is due try in their order, until the first who finds that it is gone. */
  async #serve(places: readonly QueuePartition[]): Promise<void> {
    const inVain = new Set<string>();
    for (const waiter of this.#waiters) {
      const { wanted } = waiter;
      const fitting = places.filter((place) => fits(place, wanted));
      // What is kept for one worker is not gone because another one did not get it.
      const isOwn = fitting.some(({ reservedFor: keptFor }) => keptFor !== null);
      const key = isOwn ? `${demandKey(wanted)} ${wanted.workerId}` : demandKey(wanted);
      if (inVain.has(key) || fitting.length === 0) continue;
      if (!(await this.#try(waiter))) inVain.add(key);
    }
  }

  /** @returns whether there was something for this one; where its claim fails, it goes to the end of the line. */
  async #try(waiter: Waiter): Promise<boolean> {
    waiter.isTrying = true;
    try {
      const claimed = await this.#options.claim(waiter.wanted);
      const found = !isEmpty(claimed);
      if (found) waiter.answer(claimed);
      return found;
    } catch (error) {
      // Those behind it wait for the same, perhaps, and are not to wait for it.
      this.#options.onError(error);
      if (this.#waiters.delete(waiter)) this.#waiters.add(waiter);
      return false;
    } finally {
      waiter.isTrying = false;
      if (waiter.isLate) waiter.answer(NOTHING);
    }
  }
}

/** The waiting room of a process. */
export function createLongPoller(engine: Engine, onError: (error: unknown) => void): LongPoller {
  return new LongPoller({
    look: (wants) => listDuePartitions(engine.prisma, wants),
    claim: coalesceClaims(engine),
    pollMs: POLL_MS,
    onError,
  });
}

const NOTHING: Claimed = { claims: [], poisoned: [] };

function isEmpty({ claims, poisoned }: Claimed): boolean {
  return claims.length === 0 && poisoned.length === 0;
}

function fits({ workspaceId, jobKind, reservedFor: keptFor }: QueuePartition, wanted: ClaimAiJobs): boolean {
  const isServed = wanted.workspaceId === null || wanted.workspaceId === workspaceId;
  const isMine = keptFor === null || keptFor === wanted.workerId;
  return isServed && isMine && (wanted.jobKinds?.includes(jobKind) ?? true);
}
