import { GraphQLError } from "graphql";
import type { Plugin } from "graphql-yoga";
import type { ErrorCode } from "../../errors.ts";
import { type ErrorReporter, isMasked, maskError } from "../error-format.ts";

/**
 * Formats every error of every result in the same way, whichever stage of the pipeline raised it. A result without data
 * means that the whole request was refused or failed, so it also gets an HTTP status.
 */
export function useErrorFormat(reporter: ErrorReporter): Plugin {
  return {
    onResultProcess({ result, setResult }) {
      if (Array.isArray(result) || !("errors" in result) || !result.errors) return;
      const errors = result.errors.map((error) => maskError(error, reporter));
      const hasData = "data" in result && result.data !== undefined;
      setResult({ ...result, errors: hasData ? errors : errors.map(withStatus) });
    },
  };
}

/** Adds the status that Yoga gives the response, unless the error already has one. */
function withStatus(error: GraphQLError): GraphQLError {
  // `spec`: as the GraphQL over HTTP specification asks, 400 for a client that accepts
  // application/graphql-response+json, and 200 for one that accepts application/json.
  const isForbidden = error.extensions.code === ("FORBIDDEN" satisfies ErrorCode);
  const http = isMasked(error) ? { status: 500 } : isForbidden ? { status: 403 } : { spec: true, status: 400 };
  return new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    path: error.path ?? null,
    extensions: { http, ...error.extensions },
  });
}
