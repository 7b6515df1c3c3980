import type { WorkflowDirective } from "../api/generated.ts";
import type { Moment } from "./clock.ts";

/** Why a run must stop. */
export type StopDirective = Exclude<WorkflowDirective, "CONTINUE">;

/** The order is that of the numbers in the memory: 0 is for a run that goes on. */
const DIRECTIVES: readonly StopDirective[] = ["STOP_CANCELLED", "STOP_FAILED", "STOP_LEASE_LOST", "STOP_POISONED"];

const SLOTS = { steadyNs: 0, wallMs: 1, directive: 2 } as const;

/**
 * What the lease keeper's thread and the run's thread share of a lease: until when it surely lasts, and why it is over. Memory, not messages:
 * a run whose thread was blocked for a minute must know both before it does anything else, and its messages wait behind its own work.
 */
export class LeaseMemory {
  readonly buffer: SharedArrayBuffer;
  readonly #slots: BigInt64Array<SharedArrayBuffer>;

  constructor(buffer = new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.#slots = new BigInt64Array(buffer);
  }

  /** Until when the lease surely lasts. */
  get deadline(): Moment {
    return {
      steadyNs: Atomics.load(this.#slots, SLOTS.steadyNs),
      wallMs: Number(Atomics.load(this.#slots, SLOTS.wallMs)),
    };
  }

  set deadline({ steadyNs, wallMs }: Moment) {
    Atomics.store(this.#slots, SLOTS.steadyNs, steadyNs);
    Atomics.store(this.#slots, SLOTS.wallMs, BigInt(Math.floor(wallMs)));
  }

  /** Why the server told the run to stop; null while it goes on. */
  get directive(): StopDirective | null {
    return DIRECTIVES[Number(Atomics.load(this.#slots, SLOTS.directive)) - 1] ?? null;
  }

  /** The first one counts: what comes later is about a run that has been told. */
  stop(directive: StopDirective): void {
    Atomics.compareExchange(this.#slots, SLOTS.directive, 0n, BigInt(DIRECTIVES.indexOf(directive) + 1));
  }
}
