import { LRUCache } from "lru-cache";
import { networkOf } from "./network.ts";

/** Milliseconds in which failures are counted together. */
const WINDOW_MS = 60_000;
/** Networks whose failures are counted: about 10 MB. */
const MAX_NETWORKS = 50_000;

interface Failures {
  count: number;
  /** When they are forgotten, by `performance.now()`. */
  readonly until: number;
}

/**
 * Counts the credentials that were refused, by the network of who sent them (section 11), so that one that tries many is told to
 * wait before any of them is looked at. In this process alone: a guess costs no more on a second server than on the first.
 */
export class FailedLogins {
  readonly #max: number;
  readonly #failures: LRUCache<string, Failures>;

  /**
   * @param max failures of a network in a minute.
   * @param maxNetworks networks that are remembered; beyond that, the one that failed the longest ago is forgotten.
   */
  constructor(max: number, maxNetworks: number = MAX_NETWORKS) {
    this.#max = max;
    this.#failures = new LRUCache({ max: maxNetworks });
  }

  /** @returns the milliseconds until credentials from this address are looked at again; 0 where they are now. */
  blockedMs(address: string): number {
    if (this.#failures.size === 0) return 0;
    const failures = this.#failures.peek(networkOf(address));
    if (failures === undefined || failures.count < this.#max) return 0;
    return Math.max(0, failures.until - performance.now());
  }

  /** Notes that a credential from this address was refused. */
  failed(address: string): void {
    const network = networkOf(address);
    const now = performance.now();
    const known = this.#failures.get(network);
    if (known && known.until > now) known.count += 1;
    else this.#failures.set(network, { count: 1, until: now + WINDOW_MS });
  }
}
