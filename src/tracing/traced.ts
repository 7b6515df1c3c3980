/** What the server needs of tracing; `tracing.ts` does it, where it is configured. */

/** An operation that is executed. */
export interface TracedOperation {
  /** `mutation SubmitAiJob`, or `mutation` where it has no name. */
  readonly name: string;
  /** The header of W3C Trace Context that came with it. */
  readonly traceparent: string | undefined;
  /** The trace that it belongs to, in 32 hexadecimal digits: that of the header, or one of its own. */
  readonly traceId: string;
}

export interface Tracing {
  /** Does the work of an operation within a span, which ends when the work has ended, and has failed where that has errors. */
  during<Result>(operation: TracedOperation, work: () => Promise<Result> | Result): Promise<Result> | Result;
  /** Sends what has not been sent. */
  close(): Promise<void>;
}
