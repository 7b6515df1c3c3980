import type { CommandContext } from "./db/transaction.ts";
import type { Backoff } from "./runs/backoff.ts";
import type { Guard } from "./security/guards/guard.ts";
import { NIL_UUID } from "./uuid.ts";

/** What the commands of this folder need; made once, in `start.ts`. */
export interface Engine extends CommandContext {
  /** In the order in which they run. */
  readonly guards: readonly Guard[];
  /** Milliseconds that one guard may take before it fails closed. */
  readonly guardTimeoutMs: number;
  /** Which workspace a claim of this process served last: the next one begins after it. */
  readonly rotation: { last: string };
  /** How long a job waits for its next attempt after one that failed. */
  readonly backoff: Backoff;
  /** Milliseconds for which a job that was sent back is kept for the worker that had it. */
  readonly revisePreferenceMs: number;
}

/** No workspace has had its turn yet. */
export function newRotation(): Engine["rotation"] {
  return { last: NIL_UUID };
}
