/** The shortest average interval between two reads, in milliseconds: under steady writing, one read brings many events. */
export const MIN_READ_INTERVAL_MS = 5;
/** Reads that may follow the first one without a pause after an idle time, so that a single event is delivered at once. */
const MAX_READ_BURST = 4;

/**
 * How often the feed may read the log: a rate limit by GCRA (leaky bucket). Each read moves the theoretical arrival time of the next one to
 * max(itself, now) + MIN_READ_INTERVAL_MS, and a read is allowed once that is at most MAX_READ_BURST * MIN_READ_INTERVAL_MS in the future.
 */
export class ReadPace {
  #theoreticalArrivalTime = 0;

  /** Counts a read. One that filled a page is not to be counted, since more must be read at once. */
  count(): void {
    this.#theoreticalArrivalTime = Math.max(this.#theoreticalArrivalTime, performance.now()) + MIN_READ_INTERVAL_MS;
  }

  /** Milliseconds until the next read is allowed; 0 or less if it may come now. */
  msUntilAllowed(): number {
    return this.#theoreticalArrivalTime - MAX_READ_BURST * MIN_READ_INTERVAL_MS - performance.now();
  }
}
