import { randomUUID } from "node:crypto";
import { GraphQLError, type GraphQLErrorExtensions } from "graphql";
import type { Logger } from "pino";
import { AppError, ERROR_CODES } from "../errors.ts";

/**
 * What a client sees of an error. What it can act on is shown, with a code of ErrorCode; anything else is masked, and
 * carries an id under which the log has the cause.
 */
export function maskError(error: unknown, log: Logger): GraphQLError {
  const cause = causeOf(error);
  if (cause instanceof AppError) {
    return located(error, cause.message, { code: cause.code, ...("path" in cause ? { path: cause.path } : {}) });
  }
  if (cause instanceof GraphQLError && isRefusal(cause, error)) {
    // `originalError` is Yoga's own, and repeats what was sent. A refused variable's own error does not say where in it.
    const { originalError: _, ...extensions } = cause.extensions;
    const { message } = error instanceof GraphQLError ? error : cause;
    return located(error, message, { ...extensions, code: codeOf(cause) });
  }
  const id = randomUUID();
  log.error({ id, err: cause }, "unexpected error");
  const message = `Something went wrong here. The server's log has it under ${id}.`;
  return located(error, message, { code: "INTERNAL_SERVER_ERROR", id });
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

/** A code for what GraphQL and Yoga refuse: a malformed document, a value of the wrong type, a body that is too large. */
function codeOf(error: GraphQLError): string {
  const { code } = error.extensions;
  if (typeof code === "string" && Object.hasOwn(ERROR_CODES, code)) return code;
  return /"JobKind"( enum)?/.test(error.message) ? "INVALID_JOB_KIND" : "INVALID_INPUT";
}

function located(error: unknown, message: string, extensions: GraphQLErrorExtensions): GraphQLError {
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
