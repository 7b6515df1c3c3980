import { JobServerError } from "../api/errors.ts";
import { after, type Moment, msUntil } from "./clock.ts";
import { Stopped } from "./handler-errors.ts";
import { LeaseMemory, type StopDirective } from "./lease-memory.ts";

/** The shortest time after which a deadline is looked at again, in milliseconds: timers may fire a little early. */
const MIN_CHECK_MS = 10;

/** A lease as the run's thread sees it; another thread renews it. */
export class Lease {
  readonly memory = new LeaseMemory();
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(claimSentAt: Moment, leaseSeconds: number) {
    // The server counts from when it hears a claim or a heartbeat: who counts from when it was sent is never late.
    this.memory.deadline = after(claimSentAt, leaseSeconds * 1000);
    this.#watch();
  }

  /** Aborted, with Stopped, once nothing more may be done under the lease. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * To be called before a step begins and before a report counts.
   * @throws Stopped, where the lease is over, or may be.
   */
  throwIfOver(): void {
    const { directive } = this.memory;
    if (directive !== null) this.stop(directive, "The server told the run to stop.");
    else if (msUntil(this.memory.deadline) <= 0) this.#lose();
    this.signal.throwIfAborted();
  }

  stop(directive: StopDirective, message: string, code: string | null = null): void {
    this.close();
    this.memory.stop(directive);
    // The first reason counts.
    this.#controller.abort(new Stopped(directive, message, code));
  }

  /**
   * To be called with the refusal of a report.
   * @throws it; or, where it tells the run to stop, the reason of the signal.
   */
  refuse(error: unknown): never {
    const directive = error instanceof JobServerError ? error.details.directive : null;
    if (!(error instanceof JobServerError) || !directive || directive === "CONTINUE") throw error;
    this.stop(directive, error.message, error.code);
    throw this.signal.reason;
  }

  /** Watches the deadline no more: the run has ended. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #lose(): void {
    this.stop("STOP_LEASE_LOST", "By the worker's own clock, the lease may be over.");
  }

  /** Stops the work at the deadline, whether it asks or not. */
  #watch(): void {
    const ms = msUntil(this.memory.deadline);
    if (ms <= 0) return this.#lose();
    this.#timer = setTimeout(() => this.#watch(), Math.max(ms, MIN_CHECK_MS));
  }
}
