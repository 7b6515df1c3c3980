import type { StopDirective } from "./lease-memory.ts";

/** The reason of a handler's signal where its run must stop: what it does from then on counts no more, and nothing of it is reported. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  /** Why: the job was cancelled, failed or poisoned, or the lease is lost. */
  readonly directive: StopDirective;
  /** The code of the refusal that said so; null where it came another way. */
  readonly code: string | null;

  constructor(directive: StopDirective, message: string, code: string | null = null) {
    super(message);
    this.directive = directive;
    this.code = code;
  }
}

/** The reason of a handler's signal where the worker stops: the job is given back, and another worker goes on from the steps that are done. */
export class GivenBack extends Error {
  override readonly name = "GivenBack";
}

/**
 * The reason of a handler's signal where its run has ended, because the job waits: for an answer, its children or a time. The handler is called
 * again from its beginning once that is there, and each step that is done answers at once. Do not catch it; if you must, throw it again.
 */
export class Waiting extends Error {
  override readonly name = "Waiting";
}

/** Throw it where another attempt would fail in the same way: the job fails for good. */
export class CannotBeDone extends Error {
  override readonly name = "CannotBeDone";
}

/** Throw it where the job should be tried again, but not before a time: a model's provider said when. */
export class RetryAfter extends Error {
  override readonly name = "RetryAfter";
  /** Not earlier; at most 24 hours ahead. */
  readonly at: Date;

  constructor(at: Date, message: string, options?: ErrorOptions) {
    super(message, options);
    this.at = at;
  }
}
