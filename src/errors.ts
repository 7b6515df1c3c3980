import type { JobState } from "./db/generated/client/enums.ts";
import type { JobSummary } from "./db/job-columns.ts";

/** Every code that a client can meet, and when it is raised. The one list: GraphQL's ErrorCode follows from it. */
export const ERROR_CODES = {
  NOT_FOUND: "There is no such thing in this workspace.",
  INVALID_INPUT: "A value is malformed or out of its range; `path` names it. Nothing was changed.",
  INVALID_JOB_KIND: "A word that is no job kind; the message names the accepted ones.",
  ILLEGAL_TRANSITION: "The job's state does not allow this change (section 4).",
  JOB_POISONED: "The job was poisoned before this call; nothing can change it any more (section 5).",
  LEASE_LOST: "The lease token is unknown, expired, revoked or replaced: the worker must stop (section 6).",
  CAPABILITY_DENIED: "The job's capability profile lacks a capability that its kind needs (section 8).",
  UNKNOWN_CAPABILITY: "There is no capability profile of this name (HSK-4001).",
  ACCESS_MODE_VIOLATION: "The report names written entities that the job's access mode forbids (section 6).",
  BUDGET_EXCEEDED: "A token budget or quota is used up (ACE-001).",
  IDEMPOTENCY_CONFLICT: "The idempotency key was used with another input in this workspace.",
  GUARD_FAILED: "A guard threw or timed out; it fails closed, so the content was not accepted.",
  CURSOR_EXPIRED: "The cursor is older than the log, or of another database; start again without it.",
  UNAUTHENTICATED: "The request carries no valid identity.",
  FORBIDDEN: "The identity may not do this.",
  RATE_LIMITED: "Too many requests, or one that costs too much.",
  TRY_AGAIN: "The server could not do it now. Nothing was kept; send the same again after a pause.",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What a worker must do next (section 6). */
export const WORKFLOW_DIRECTIVES = {
  CONTINUE: "Go on.",
  STOP_CANCELLED: "Stop: the job was cancelled.",
  STOP_POISONED: "Stop: the job was poisoned. Discard what was made of it.",
  STOP_FAILED: "Stop: the job failed.",
  STOP_LEASE_LOST: "Stop: this lease is not, or no longer, the right to report on the job.",
} as const;

export type WorkflowDirective = keyof typeof WORKFLOW_DIRECTIVES;

/**
 * A failure that a caller can act on. Anything else that is thrown is masked before it reaches a client.
 *
 * It is an answer and not a fault of this server: nobody reads where it was made, which takes a fifth of a refused
 * request's time to find out, and anybody may send many of those.
 */
export abstract class AppError extends Error {
  abstract readonly code: ErrorCode;

  constructor(message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

export class NotFoundError extends AppError {
  readonly code = "NOT_FOUND";
  constructor(noun: string) {
    super(`There is no ${noun} in this workspace.`);
  }
}

export class InvalidInputError extends AppError {
  readonly code = "INVALID_INPUT";
  /** Where the offending value stands, such as `["input", "metrics", "inputTokens"]`. */
  readonly path: readonly string[];
  constructor(path: readonly string[], message: string) {
    super(message);
    this.path = path;
  }
}

export class InvalidJobKindError extends AppError {
  readonly code = "INVALID_JOB_KIND";
  constructor(word: string, accepted: readonly string[]) {
    super(`${JSON.stringify(word.slice(0, 100))} is no job kind. Accepted: ${accepted.join(", ")}.`);
  }
}

export class IllegalTransitionError extends AppError {
  readonly code = "ILLEGAL_TRANSITION";
  readonly from: JobState;
  readonly to: JobState;
  readonly directive: WorkflowDirective | null;
  constructor(
    from: JobState,
    to: JobState,
    directive: WorkflowDirective | null = null,
    message = `A job that is ${from} cannot become ${to}. Nothing was changed.`,
  ) {
    super(message);
    this.from = from;
    this.to = to;
    this.directive = directive;
  }
}

export class JobPoisonedError extends AppError {
  readonly code = "JOB_POISONED";
  readonly directive = "STOP_POISONED";
  readonly job: JobSummary;
  constructor(
    job: JobSummary,
    message = "The job is poisoned: nothing can change it any more, and a retry is refused. Discard what was made of it.",
  ) {
    super(message);
    this.job = job;
  }
}

export class LeaseLostError extends AppError {
  readonly code = "LEASE_LOST";
  readonly directive = "STOP_LEASE_LOST";
  constructor() {
    super("This run and token hold no lease: unknown, expired, or replaced. Stop; nothing of this report was kept.");
  }
}

export class CapabilityDeniedError extends AppError {
  readonly code = "CAPABILITY_DENIED";
  readonly missingCapability: string;
  readonly job: JobSummary;
  constructor(missingCapability: string, job: JobSummary) {
    super(`The capability profile ${job.capabilityProfileId} lacks ${missingCapability}. The job is kept as FAILED.`);
    this.missingCapability = missingCapability;
    this.job = job;
  }
}

export class UnknownCapabilityError extends AppError {
  readonly code = "UNKNOWN_CAPABILITY";
  constructor(profile: string) {
    super(`HSK-4001: there is no capability profile ${JSON.stringify(profile.slice(0, 100))}. See capabilityProfiles.`);
  }
}

export class AccessModeViolationError extends AppError {
  readonly code = "ACCESS_MODE_VIOLATION";
  readonly directive = "STOP_FAILED";
  constructor(detail: string) {
    super(`${detail} Nothing of the report was applied, and the run has failed.`);
  }
}

export class BudgetExceededError extends AppError {
  readonly code = "BUDGET_EXCEEDED";
  /** When there is room again; null where nobody can tell, or nothing frees it. */
  readonly freesAt: Date | null;
  readonly directive: WorkflowDirective | null;
  constructor(message: string, { freesAt = null, directive = null }: Partial<Budget> = {}) {
    super(`ACE-001: ${message}`);
    this.freesAt = freesAt;
    this.directive = directive;
  }
}

type Budget = Pick<BudgetExceededError, "freesAt" | "directive">;

export class IdempotencyConflictError extends AppError {
  readonly code = "IDEMPOTENCY_CONFLICT";
  constructor() {
    super("This idempotency key made another job, from another input. Use a new key for a new job.");
  }
}

export class GuardFailedError extends AppError {
  readonly code = "GUARD_FAILED";
  readonly guardName: string;
  constructor(guardName: string) {
    super(`${guardName} could not decide, so the content was not accepted and nothing of it was kept.`);
    this.guardName = guardName;
  }
}

export class CursorExpiredError extends AppError {
  readonly code = "CURSOR_EXPIRED";
  constructor() {
    super("This cursor is of another database or older than the log. Subscribe again without `after`.");
  }
}

export class TryAgainError extends AppError {
  readonly code = "TRY_AGAIN";
  constructor(message = "The database was too busy. Nothing was kept; send the same again.") {
    super(message);
  }
}
