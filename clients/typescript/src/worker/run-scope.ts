import type { Lease } from "./lease.ts";

/** For how long a handler works: as its lease lasts, and its run goes on. */
export class RunScope {
  readonly #lease: Lease;
  readonly #ended = new AbortController();
  /** Aborted when the handler must stop; its reason says why. */
  readonly signal: AbortSignal;

  constructor(lease: Lease) {
    this.#lease = lease;
    this.signal = AbortSignal.any([lease.signal, this.#ended.signal]);
  }

  /**
   * To be called before anything begins.
   * @throws the reason of the signal, where nothing may.
   */
  throwIfOver(): void {
    this.#lease.throwIfOver();
    this.signal.throwIfAborted();
  }

  /** Ends the handler's work; reports may still be made under the lease. */
  end(reason: Error): void {
    this.#ended.abort(reason);
  }
}
