import { randomUUID } from "node:crypto";
import { type ExecutionResult, GraphQLError, type GraphQLErrorExtensions, type GraphQLFormattedError } from "graphql";
import type { Logger } from "pino";
import { type Availability, unavailability } from "../db/availability.ts";
import { JobKind } from "../db/generated/client/enums.ts";
import { sqlState } from "../db/sql-state.ts";
import { isOutcomeUnknown } from "../db/transaction.ts";
import { AppError, ERROR_CODES, type ErrorCode, InvalidInputError } from "../errors.ts";
import { withShortQuotes } from "../quote.ts";

/** Who is told of errors that the client is not told of. */
export interface ErrorReporter {
  readonly log: Logger;
  readonly availability: Availability | undefined;
}

/**
 * Converts any error into the one that a client sees. Errors that the client can act on keep their message and get a
 * code of ErrorCode. So does one of a database that is in a state of its own (availability.ts). All others are masked: the
 * client gets an id, and the server's log has the cause under that id.
 */
export function maskError(error: unknown, { log, availability }: ErrorReporter): GraphQLError {
  const cause = causeOf(error);
  // One error is formatted at several stages of a request, and must be masked, and its quotes be shortened, only once.
  if (cause instanceof GraphQLError && (FORMATTED.has(cause) || isMasked(cause))) return cause;
  if (cause instanceof AppError) {
    return withLocation(error, cause.message, {
      code: cause.code,
      ...(cause instanceof InvalidInputError ? { path: cause.inputPath, issues: cause.issues } : {}),
    });
  }
  if (cause instanceof GraphQLError && isRefusal(cause, error)) {
    // Of nested errors, only the outermost message names the variable and the path of the refused value.
    const { message: whole } = error instanceof GraphQLError ? error : cause;
    const message = withShortQuotes(whole, cause.message);
    const { code, ...otherExtensions } = withoutParserError(cause.extensions);
    if (isErrorCode(code) || code === PERSISTED_QUERY_NOT_FOUND)
      return withLocation(error, message, { ...otherExtensions, code });
    if (!isAboutJobKind(cause)) return withLocation(error, message, { ...otherExtensions, code: "INVALID_INPUT" });
    return withLocation(error, `${message} Accepted: ${JOB_KINDS}.`, { ...otherExtensions, code: "INVALID_JOB_KIND" });
  }
  const unavailable = unavailability(cause);
  // Where the connection broke during a COMMIT, something may have been kept, which TRY_AGAIN denies.
  if (unavailable !== undefined && !isOutcomeUnknown(cause)) {
    availability?.met(unavailable);
    return withLocation(error, `${unavailable} Send the same again later.`, { code: "TRY_AGAIN" });
  }
  const id = randomUUID();
  log.error({ id, err: toLogEntry(cause) }, "unexpected error");
  const message = `Something went wrong in the server. Its log has the details under the id ${id}.`;
  return withLocation(error, message, { code: MASKED_CODE, id });
}

/** The code of masked errors. */
const MASKED_CODE = "INTERNAL_SERVER_ERROR";

/** Of the protocol of persisted queries, and so no ErrorCode: clients deal with it themselves, and show it to nobody. */
export const PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND";

/** Whether the error is masked, so that the client sees nothing of it but an id. */
export function isMasked({ extensions }: GraphQLError): boolean {
  return extensions.code === MASKED_CODE && typeof extensions.id === "string";
}

/** Formats an error for a client, without the HTTP status, which only Yoga's own HTTP responses use and remove. */
export function withoutStatus(error: GraphQLError): GraphQLFormattedError {
  const { extensions, ...formatted } = error.toJSON();
  const { http: _status, ...clientExtensions } = extensions ?? {};
  return { ...formatted, extensions: clientExtensions };
}

/** @returns the JSON text of a result, as a client gets it. */
export function toText(result: ExecutionResult): string {
  if (!result.errors) return JSON.stringify(result);
  return JSON.stringify({ ...result, errors: result.errors.map(withoutStatus) });
}

/** What may be logged of an error. PostgreSQL's `detail` is left out: for a refused row it contains the whole row. */
function toLogEntry(cause: unknown): object {
  if (!(cause instanceof Error)) return { message: `A ${typeof cause} was thrown instead of an Error.` };
  const { name, message, stack } = cause;
  return { type: name, message, sqlState: sqlState(cause), stack };
}

/** The innermost error: GraphQL executors wrap what a resolver threw, some of them more than once. */
function causeOf(error: unknown): unknown {
  return error instanceof GraphQLError && error.originalError ? causeOf(error.originalError) : error;
}

/**
 * Whether GraphQL or Yoga refused the operation, so that the client can correct it. Such an error has a code, or no
 * path, because no field ran. Without a code and with a path it was raised while a field ran: a fault of this server.
 */
function isRefusal(cause: GraphQLError, error: unknown): boolean {
  return cause.extensions.code !== undefined || !(error instanceof GraphQLError) || error.path === undefined;
}

/**
 * For a body that is not JSON, Yoga puts the parser's error, which quotes the body, into the extensions. It is removed;
 * since Yoga derives the status from it, the status is set here.
 */
function withoutParserError({ originalError, ...extensions }: GraphQLErrorExtensions): GraphQLErrorExtensions {
  return originalError === undefined ? extensions : { ...extensions, http: { status: 400 } };
}

/** Whether the code is one of ErrorCode; errors of GraphQL and Yoga have other codes, or none. */
function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_CODES, code);
}

function isAboutJobKind({ message }: GraphQLError): boolean {
  return /"JobKind"( enum)?/.test(message);
}

const JOB_KINDS = Object.keys(JobKind).join(", ");

const FORMATTED = new WeakSet<GraphQLError>();

/** A GraphQLError with a new message, and the path and source locations of the old one. */
function withLocation(error: unknown, message: string, extensions: GraphQLErrorExtensions): GraphQLError {
  const { nodes, source, positions, path } = error instanceof GraphQLError ? error : {};
  const formatted = new GraphQLError(message, {
    nodes: nodes ?? null,
    source: source ?? null,
    positions: positions ?? null,
    path: path ?? null,
    extensions,
  });
  FORMATTED.add(formatted);
  return formatted;
}
