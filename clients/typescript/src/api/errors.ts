import type { ErrorCode as ServerCode, WorkflowDirective } from "./generated.ts";

/** The codes by which the server refuses; the last one is a fault of its own, of which its log knows more. */
export type ErrorCode = ServerCode | "INTERNAL_SERVER_ERROR" | (string & {});

/** What is wrong with one value of an input. */
export interface InputIssue {
  readonly path: readonly string[];
  readonly message: string;
}

/** What the server says of a refusal, beyond its code and its message. */
export interface RefusalDetails {
  /** What a worker must do now; null where its run goes on, or nobody works. */
  readonly directive?: WorkflowDirective | null;
  /** For INVALID_INPUT: the offending field. */
  readonly path?: readonly string[];
  /** For INVALID_INPUT: everything that is wrong. */
  readonly issues?: readonly InputIssue[];
  /** For BUDGET_EXCEEDED: when there is room again; null where that cannot be known. */
  readonly freesAt?: Date | null;
  /** For RATE_LIMITED: how long to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** The server refused, and nothing of the request was kept. `code` says why, as one of a list; the message says what to do. */
export class JobServerError extends Error {
  override readonly name = "JobServerError";
  readonly code: ErrorCode;
  readonly details: RefusalDetails;

  constructor(code: ErrorCode, message: string, details: RefusalDetails = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** No answer came, or none that can be read: nobody knows whether the server has done what it was asked. */
export class UnansweredError extends Error {
  override readonly name = "UnansweredError";
}
