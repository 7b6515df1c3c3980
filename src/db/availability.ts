import { TryAgainError } from "../errors.ts";
import { sqlState } from "./sql-state.ts";

/**
 * States of a database that an operator knows, by SQLSTATE: nothing is wrong with the request, and it may be sent again when
 * the state is over. What is told of them names no row and no statement.
 */
const STATES: Readonly<Record<string, string>> = {
  "25006": "The database is read-only: it is a standby, or default_transaction_read_only is on.",
  "42501": "The database does not give this server the privileges that it needs.",
  "53100": "The database has no space left on its disk.",
  "53200": "The database has no memory left.",
  "57P01": "The database is shutting down, or has ended this connection.",
  "57P02": "The database has crashed and is restarting.",
  "57P03": "The database is starting up or shutting down.",
  "58030": "The database cannot write to its disk.",
  AJ009: "The database was restored or moved, and its event log is about to begin a new epoch.",
};

/** @returns what is told of a database that an error shows to be in such a state; undefined for any other error. */
export function unavailability(error: unknown): string | undefined {
  const state = sqlState(error);
  return state === undefined ? undefined : STATES[state];
}

/** Milliseconds between two log lines about the same state: a busy server would write thousands a second. */
const REPORT_INTERVAL_MS = 60_000;

/** Remembers a state of the database that was met until it is over, for /ready, and reports the states once a minute. */
export class Availability {
  readonly #report: (reason: string) => void;
  readonly #reportedAt = new Map<string, number>();
  #reason: string | undefined;

  /** @param report called with a state when it is met, at most once a minute for each. */
  constructor(report: (reason: string) => void) {
    this.#report = report;
  }

  /** The state that was met last; undefined where it is over, or none was. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /**
   * Tells that the state is over. A command that succeeds does not show that: where the disk is full, what fits into a block that
   * is there is still written.
   */
  over(): void {
    this.#reason = undefined;
  }

  /**
   * Tells of an error of work that no caller waits for.
   * @returns whether one of the states explains it. It is reported then, and would be in the log again and again otherwise:
   * such work is tried every second, or more often.
   */
  explains(error: unknown): boolean {
    const reason = unavailability(error);
    if (reason !== undefined) this.met(reason);
    // A command that gave up has told of the state itself, and its message begins with it.
    return (
      reason !== undefined ||
      (error instanceof TryAgainError && this.#reason !== undefined && error.message.startsWith(this.#reason))
    );
  }

  /** Tells that the database was in one of the states when something was to be written, or read. */
  met(reason: string): void {
    this.#reason = reason;
    const now = performance.now();
    if (now - (this.#reportedAt.get(reason) ?? Number.NEGATIVE_INFINITY) < REPORT_INTERVAL_MS) return;
    this.#reportedAt.set(reason, now);
    this.#report(reason);
  }
}
