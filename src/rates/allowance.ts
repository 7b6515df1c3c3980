import { LRUCache } from "lru-cache";
import { type RateLimiterAbstract, RateLimiterRes } from "rate-limiter-flexible";

/** The part of all points that is taken from the store at once. */
const PART = 50;
/** Principals whose points are kept here; one that is forgotten takes new ones. */
const MAX_ACCOUNTS = 10_000;

/** What one principal has taken from the store, and not spent yet. */
interface Account {
  points: number;
  /** When the points end with their window, by `performance.now()`. */
  until: number;
  /** Until when there are no more, by `performance.now()`. */
  emptyUntil: number;
  /** Settled when the store, which was asked, has answered. */
  asking: Promise<void> | undefined;
}

/**
 * Points that each principal may spend in a window of time, kept in a store that servers may share. A fiftieth of them is taken from
 * there at once, and spent here: a request asks the store nothing as a rule, and then costs a look into a map. What one server has
 * taken and not spent, another one cannot; the limit is never exceeded by it.
 */
export class Allowance {
  readonly #store: Pick<RateLimiterAbstract, "consume">;
  readonly #points: number;
  readonly #part: number;
  readonly #accounts = new LRUCache<string, Account>({ max: MAX_ACCOUNTS });

  /** @param points that a principal has in a window of the store. */
  constructor(store: Pick<RateLimiterAbstract, "consume">, points: number) {
    this.#store = store;
    this.#points = points;
    this.#part = Math.max(1, Math.floor(points / PART));
  }

  /**
   * Spends points. A price beyond all of them takes all: what costs more would never be allowed.
   * @returns 0; or the milliseconds until there are new ones, and nothing was spent. A promise only where the store is asked.
   */
  spend(principal: string, price: number): number | Promise<number> {
    const account = this.#accounts.get(principal) ?? { points: 0, until: 0, emptyUntil: 0, asking: undefined };
    this.#accounts.set(principal, account);
    const points = Math.min(price, this.#points);
    return take(account, points) ?? this.#spendOfStore(principal, account, points);
  }

  async #spendOfStore(principal: string, account: Account, points: number): Promise<number> {
    for (;;) {
      // One request asks for all that wait: each by itself would take a part, and together they would take everything.
      account.asking ??= this.#ask(principal, account, points).finally(() => {
        account.asking = undefined;
      });
      await account.asking;
      const taken = take(account, points);
      if (taken !== undefined) return taken;
    }
  }

  async #ask(principal: string, account: Account, points: number): Promise<void> {
    const asked = Math.max(this.#part, points - account.points);
    try {
      const { msBeforeNext } = await this.#store.consume(principal, asked);
      account.points += asked;
      account.until = performance.now() + msBeforeNext;
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      account.emptyUntil = performance.now() + Math.max(1, error.msBeforeNext);
    }
  }
}

/** @returns 0 where the points were taken, the milliseconds where there are no more, undefined where the store has to be asked. */
function take(account: Account, points: number): number | undefined {
  const now = performance.now();
  if (account.until <= now) account.points = 0;
  if (account.points >= points) {
    account.points -= points;
    return 0;
  }
  return account.emptyUntil > now ? account.emptyUntil - now : undefined;
}
