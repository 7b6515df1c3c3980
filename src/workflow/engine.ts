import type { Guard } from "../guards/guard.ts";
import type { Recorder } from "../recorder/transaction.ts";

/** What the commands of this folder need; made once, in `main.ts`. */
export interface Engine extends Recorder {
  /** In the order in which they run. */
  readonly guards: readonly Guard[];
  /** Milliseconds that one guard may take before it fails closed. */
  readonly guardTimeoutMs: number;
}
