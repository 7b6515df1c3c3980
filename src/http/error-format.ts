import { randomUUID } from "node:crypto";
import { type ExecutionResult, GraphQLError, type GraphQLErrorExtensions, type GraphQLFormattedError } from "graphql";
import type { Logger } from "pino";
import { JobKind } from "../db/generated/client/enums.ts";
import { sqlState } from "../db/transaction.ts";
import { AppError, ERROR_CODES, type ErrorCode } from "../errors.ts";

/**
 * What a client sees of an error. What it can act on is shown, with a code of ErrorCode; anything else is masked, and
 * carries an id under which the log has the cause.
 */
export function maskError(error: unknown, log: Logger): GraphQLError {
  const cause = causeOf(error);
  if (cause instanceof GraphQLError && isMasked(cause)) return cause;
  if (cause instanceof AppError) {
    return withLocation(error, cause.message, { code: cause.code, ...("path" in cause ? { path: cause.path } : {}) });
  }
  if (cause instanceof GraphQLError && isRefusal(cause, error)) {
    // The outermost message: it alone says where in a variable the value stands that was refused.
    const { message } = error instanceof GraphQLError ? error : cause;
    const { code, ...shown } = withoutParserError(cause.extensions);
    if (isErrorCode(code)) return withLocation(error, message, { ...shown, code });
    if (!isAboutJobKind(cause)) return withLocation(error, message, { ...shown, code: "INVALID_INPUT" });
    return withLocation(error, `${message} Accepted: ${JOB_KINDS}.`, { ...shown, code: "INVALID_JOB_KIND" });
  }
  const id = randomUUID();
  log.error({ id, err: toLogEntry(cause) }, "unexpected error");
  const message = `Something went wrong here. The server's log has it under ${id}.`;
  return withLocation(error, message, { code: MASKED_CODE, id });
}

/** The code of what was masked already: an error may come by here at several stages of one request. */
const MASKED_CODE = "INTERNAL_SERVER_ERROR";

/** Whether the client is told nothing but an id. */
export function isMasked({ extensions }: GraphQLError): boolean {
  return extensions.code === MASKED_CODE && typeof extensions.id === "string";
}

/** An error as a client gets it. The status is for the response over HTTP, which takes it out itself. */
export function withoutStatus(error: GraphQLError): GraphQLFormattedError {
  const { extensions, ...formatted } = error.toJSON();
  const { http: _status, ...shown } = extensions ?? {};
  return { ...formatted, extensions: shown };
}

/** A result as the text that a client gets. */
export function toText(result: ExecutionResult): string {
  if (!result.errors) return JSON.stringify(result);
  return JSON.stringify({ ...result, errors: result.errors.map(withoutStatus) });
}

/** What the log may have: not the details, which for a row that was refused are the row, with everything in it. */
function toLogEntry(cause: unknown): object {
  if (!(cause instanceof Error)) return { message: `Something was thrown that is no error, but ${typeof cause}.` };
  const { name, message, stack } = cause;
  return { type: name, message, sqlState: sqlState(cause), stack };
}

/** The innermost error: executors wrap what a resolver threw, some more than once. */
function causeOf(error: unknown): unknown {
  return error instanceof GraphQLError && error.originalError ? causeOf(error.originalError) : error;
}

/**
 * GraphQL refuses a malformed operation before it runs, so without a path; what it says of a field that ran, without
 * a code of ours, tells of a fault in this server.
 */
function isRefusal(cause: GraphQLError, error: unknown): boolean {
  return cause.extensions.code !== undefined || !(error instanceof GraphQLError) || error.path === undefined;
}

/** Yoga quotes a body that is no JSON, and gives the answer its status by that. */
function withoutParserError({ originalError, ...extensions }: GraphQLErrorExtensions): GraphQLErrorExtensions {
  return originalError === undefined ? extensions : { ...extensions, http: { status: 400 } };
}

/** Whether it is one of ours: what GraphQL and Yoga refuse by themselves has another one, or none. */
function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_CODES, code);
}

function isAboutJobKind({ message }: GraphQLError): boolean {
  return /"JobKind"( enum)?/.test(message);
}

const JOB_KINDS = Object.keys(JobKind).join(", ");

function withLocation(error: unknown, message: string, extensions: GraphQLErrorExtensions): GraphQLError {
  if (!(error instanceof GraphQLError)) return new GraphQLError(message, { extensions });
  const { nodes, source, positions, path } = error;
  return new GraphQLError(message, {
    nodes: nodes ?? null,
    source: source ?? null,
    positions: positions ?? null,
    path: path ?? null,
    extensions,
  });
}
