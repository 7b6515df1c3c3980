import type { CommandContext } from "./db/transaction.ts";
import type { OutputWatch } from "./output/watch.ts";
import type { Backoff } from "./runs/backoff.ts";
import type { ReportedRunsReader } from "./runs/lock.ts";
import type { Guard } from "./security/guards/guard.ts";
import { NIL_UUID } from "./uuid.ts";

/**
 * The context of commands about claims, runs, reviews and guarded content. Commands that need only the database and the
 * notifier of commits take a `CommandContext`. Made once for the process, in `start.ts`.
 */
export interface EngineContext extends CommandContext {
  /** The guards, in the order in which they run (section 7). */
  readonly guards: readonly Guard[];
  /** Milliseconds that one guard may take before it fails closed. */
  readonly guardTimeoutMs: number;
  /** Changed by each claim over all workspaces: the next such claim begins its turns after the workspace with this id. */
  readonly rotation: { startAfter: string };
  readonly readReportedRuns: ReportedRunsReader;
  readonly outputs: OutputWatch;
  /** How long a job waits after a failed attempt before the next one. */
  readonly backoff: Backoff;
  /** Milliseconds for which a job that was sent back is reserved for the worker that had it. */
  readonly revisePreferenceMs: number;
  /** The least time between two versions of a job that nothing but progress leads to, in milliseconds (section 13). */
  readonly progressIntervalMs: number;
  /** The currency of every cost, in ISO 4217's three letters. */
  readonly costCurrency: string;
}

/** @returns a rotation in which no workspace has had its turn yet. */
export function newRotation(): EngineContext["rotation"] {
  return { startAfter: NIL_UUID };
}
