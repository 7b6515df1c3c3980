import type { Guard } from "../guards/guard.ts";
import type { Recorder } from "../recorder/transaction.ts";
import { NOBODY } from "./due.ts";
import type { Backoff } from "./retry.ts";

/** What the commands of this folder need; made once, in `start.ts`. */
export interface Engine extends Recorder {
  /** In the order in which they run. */
  readonly guards: readonly Guard[];
  /** Milliseconds that one guard may take before it fails closed. */
  readonly guardTimeoutMs: number;
  /** Which workspace a claim of this process served last: the next one begins after it. */
  readonly turns: { last: string };
  /** How long a job waits for its next attempt after one that failed. */
  readonly backoff: Backoff;
  /** Milliseconds for which a job that was sent back is kept for the worker that had it. */
  readonly preferenceMs: number;
}

/** No workspace has had its turn yet. */
export function newTurns(): Engine["turns"] {
  return { last: NOBODY };
}
