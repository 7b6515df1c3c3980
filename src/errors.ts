import type { JobState } from "./db/generated/client/enums.ts";
import type { JobSummary } from "./db/job-columns.ts";
import type { Permission } from "./identity/permissions.ts";
import { quote, withShortQuotes } from "./quote.ts";

/** Every error code that a client can get, and its meaning. GraphQL's enum ErrorCode is generated from this list. */
export const ERROR_CODES = {
  NOT_FOUND: "There is no such record in this workspace.",
  INVALID_INPUT: "A value is malformed or out of its range; `path` names it. Nothing was changed.",
  INVALID_JOB_KIND: "The value is not a job kind; the message names the accepted ones.",
  ILLEGAL_TRANSITION: "The job's state does not allow this change (section 4).",
  JOB_POISONED: "The job was poisoned before this call; nothing can change it any more (section 5).",
  LEASE_LOST: "The lease token is unknown, expired, revoked or replaced: the worker must stop (section 6).",
  CAPABILITY_DENIED: "The job's capability profile lacks a capability that its kind needs (section 8).",
  UNKNOWN_CAPABILITY: "There is no capability profile of this name (HSK-4001).",
  ACCESS_MODE_VIOLATION: "The report names written entities that the job's access mode forbids (section 6).",
  BUDGET_EXCEEDED: "A token budget or quota is used up (ACE-001).",
  IDEMPOTENCY_CONFLICT: "The idempotency key was used with another input in this workspace.",
  GUARD_FAILED:
    "A guard could not decide (it threw or timed out), or raised an error that does not poison: the content was not accepted.",
  CURSOR_EXPIRED: "The cursor is older than the log, or belongs to another database; start again without it.",
  UNAUTHENTICATED: "The request carries no valid identity.",
  FORBIDDEN: "The identity may not do this.",
  RATE_LIMITED:
    "Too much at once, or in a time. Nothing of this was done, and what runs goes on; send the same again after " +
    "`extensions.retryAfterSeconds`.",
  TRY_AGAIN: "The server could not do this now. Nothing was kept; send the same again after a pause.",
} as const;

/** The code of an error that a client can act on. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** What a worker must do next (section 6). GraphQL's enum WorkflowDirective is generated from this list. */
export const WORKFLOW_DIRECTIVES = {
  CONTINUE: "Go on.",
  STOP_CANCELLED: "Stop: the job was cancelled.",
  STOP_POISONED: "Stop: the job was poisoned. Discard its results.",
  STOP_FAILED: "Stop: the job failed.",
  STOP_LEASE_LOST: "Stop: the worker does not have the lease (any more).",
} as const;

/** The instruction that a worker gets with each answer to a report. */
export type WorkflowDirective = keyof typeof WORKFLOW_DIRECTIVES;

/**
 * A failure that the client can act on; its message and code are shown. Any other error is masked before it reaches a
 * client.
 *
 * It has no stack trace: it is an answer and not a fault of the server, so nobody needs the trace, and capturing it
 * takes a fifth of the time of a refused request, of which a client may send many.
 */
export abstract class AppError extends Error {
  abstract readonly code: ErrorCode;
  /** What the worker must do now; null for other callers, and if the error does not end the worker's run (section 6). */
  readonly directive: WorkflowDirective | null = null;

  constructor(message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(withShortQuotes(message));
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** There is no such record in the viewer's workspace. */
export class NotFoundError extends AppError {
  readonly code = "NOT_FOUND";
  /** @param noun what was looked for, such as "job"; a workspace lies in none. */
  constructor(noun: string) {
    super(noun === "workspace" ? "There is no such workspace." : `There is no ${noun} in this workspace.`);
  }
}

/** The principal may not do this: it lacks a permission, or would give more than it has (section 11). */
export class ForbiddenError extends AppError {
  readonly code = "FORBIDDEN";
}

/** @returns the refusal of a principal that lacks a permission. */
export function lacks(permission: Permission): ForbiddenError {
  return new ForbiddenError(`This needs the permission ${permission}, which you do not have. Nothing was changed.`);
}

/** The request carries no valid credential (section 11). */
export class UnauthenticatedError extends AppError {
  readonly code = "UNAUTHENTICATED";
  constructor() {
    super(
      "Send a valid API key or JWT, as `authorization: Bearer …`. What was sent is unknown, has ended, or is not one.",
    );
  }
}

/** Too many credentials were refused that came from one address (section 11). */
export class TooManyFailuresError extends AppError {
  readonly code = "RATE_LIMITED";
  readonly retryAfterSeconds: number;
  constructor(retryAfterSeconds: number) {
    super(
      "Too many credentials that came from your address were refused. Correct yours; the next one is looked at in " +
        `${retryAfterSeconds} seconds.`,
    );
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** What is wrong with one value of the input. */
export interface InputIssue {
  /** The path of the value in the operation's arguments, such as `["input", "metrics", "inputTokens"]`. */
  readonly path: readonly string[];
  readonly message: string;
}

/** The most faults of one input that are named: more than a form has fields. */
export const MAX_ISSUES = 100;

/** Values of the input are malformed or out of their ranges. */
export class InvalidInputError extends AppError {
  readonly code = "INVALID_INPUT";
  /** What was found, at most 100 faults; at least one. */
  readonly issues: readonly InputIssue[];
  /**
   * The path of the first. Not `path`: graphql-js takes an error with a list of that name for one that has its place in the
   * answer already, and would give it none.
   */
  readonly inputPath: readonly string[];
  constructor(path: readonly string[], message: string, issues: readonly InputIssue[] = [{ path, message }]) {
    super(message);
    this.inputPath = path.map(quote);
    this.issues = issues
      .slice(0, MAX_ISSUES)
      .map((issue) => ({ path: issue.path.map(quote), message: withShortQuotes(issue.message) }));
  }
}

/** A text is not the name of a job kind (section 2). */
export class InvalidJobKindError extends AppError {
  readonly code = "INVALID_JOB_KIND";
  constructor(name: string, accepted: readonly string[]) {
    super(`${quote(JSON.stringify(name))} is not a job kind. Accepted: ${accepted.join(", ")}.`);
  }
}

/** The job's state does not allow the change (section 4). */
export class IllegalTransitionError extends AppError {
  readonly code = "ILLEGAL_TRANSITION";
  readonly from: JobState;
  readonly to: JobState;
  override readonly directive: WorkflowDirective | null;
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

/** The job was poisoned before the call, so nothing can change it any more (section 5). */
export class JobPoisonedError extends AppError {
  readonly code = "JOB_POISONED";
  override readonly directive: "STOP_POISONED" | null;
  readonly job: JobSummary;
  /** @param directive STOP_POISONED, if a worker made the call. */
  constructor(
    job: JobSummary,
    directive: "STOP_POISONED" | null = null,
    message = "The job is poisoned: nothing can change it any more, and it cannot be retried. Discard its results.",
  ) {
    super(message);
    this.job = job;
    this.directive = directive;
  }
}

/** The lease token does not give the right to report on the run (section 6). */
export class LeaseLostError extends AppError {
  readonly code = "LEASE_LOST";
  override readonly directive = "STOP_LEASE_LOST";
  constructor() {
    super("The lease of this run is unknown, expired or replaced. Stop; nothing of this report was kept.");
  }
}

/** The job's capability profile lacks a capability that the job needs (section 8). */
export class CapabilityDeniedError extends AppError {
  readonly code = "CAPABILITY_DENIED";
  override readonly directive: "STOP_FAILED" | null;
  readonly missingCapability: string;
  readonly job: JobSummary;
  /** @param directive STOP_FAILED, if a worker's report was refused. */
  constructor(missingCapability: string, job: JobSummary, directive: "STOP_FAILED" | null = null) {
    super(
      `The capability profile ${quote(job.capabilityProfileId)} lacks ${missingCapability}. The job is kept as FAILED.`,
    );
    this.missingCapability = missingCapability;
    this.job = job;
    this.directive = directive;
  }
}

/** There is no capability profile of this name (section 8). */
export class UnknownCapabilityError extends AppError {
  readonly code = "UNKNOWN_CAPABILITY";
  constructor(profile: string) {
    super(`HSK-4001: there is no capability profile ${quote(JSON.stringify(profile))}. See capabilityProfiles.`);
  }
}

/** A report names or counts written entities that the job's access mode forbids (section 6). */
export class AccessModeViolationError extends AppError {
  readonly code = "ACCESS_MODE_VIOLATION";
  override readonly directive = "STOP_FAILED";
  constructor(detail: string) {
    super(`${detail} Nothing of the report was applied, and the run has failed.`);
  }
}

/** A job's token budget or a workspace's quota is used up (section 6, docs/quotas.md). */
export class BudgetExceededError extends AppError {
  readonly code = "BUDGET_EXCEEDED";
  /** When the quota has room again; null if that cannot be known, or if time alone does not free it. */
  readonly freesAt: Date | null;
  override readonly directive: WorkflowDirective | null;
  constructor(message: string, { freesAt = null, directive = null }: Partial<Budget> = {}) {
    super(`ACE-001: ${message}`);
    this.freesAt = freesAt;
    this.directive = directive;
  }
}

type Budget = Pick<BudgetExceededError, "freesAt" | "directive">;

/** The idempotency key was used before, with another input (section 6). */
export class IdempotencyConflictError extends AppError {
  readonly code = "IDEMPOTENCY_CONFLICT";
  constructor() {
    super("This idempotency key was used for another job, with another input. Use a new key for a new job.");
  }
}

/**
 * A guard could not decide (it threw or timed out), or raised an error that does not poison, so the content was refused: guards
 * fail closed (section 7).
 */
export class GuardFailedError extends AppError {
  readonly code = "GUARD_FAILED";
  readonly guardName: string;
  constructor(guardName: string) {
    super(`${guardName} could not decide, so the content was not accepted and nothing of it was kept.`);
    this.guardName = guardName;
  }
}

/** The cursor belongs to another log, or events after it are no longer kept (section 10). */
export class CursorExpiredError extends AppError {
  readonly code = "CURSOR_EXPIRED";
  constructor() {
    super(
      "The log does not go on from this cursor: it is of another database, from before a restore or a failover, or older than " +
        "what is kept. Subscribe again without `after`.",
    );
  }
}

/**
 * The server could not do the operation now: the client may send it again (section 4). Nothing was kept, except that a start
 * whose guards led to nothing that could be stored leaves the job leased until the lease expires.
 */
export class TryAgainError extends AppError {
  readonly code = "TRY_AGAIN";
  constructor(message = "The database was too busy. Nothing was kept; send the same again.") {
    super(message);
  }
}

/**
 * For one of several pieces of work of a call, which must not fail with it: the others may be stored already.
 * @returns a TryAgainError, as the answer to that piece; any other error is thrown again.
 */
export function tryAgainOrRethrow(error: unknown): TryAgainError {
  if (error instanceof TryAgainError) return error;
  throw error;
}
