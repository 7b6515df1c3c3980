import { GraphQLError } from "graphql";
import type { Plugin } from "graphql-yoga";
import type { Logger } from "pino";
import { isMasked, maskError } from "../error-format.ts";

/**
 * Every error of every result leaves in one format, whichever stage of the pipeline made it. Where there is no data,
 * the request as a whole was refused or has failed, and its status says so.
 */
export function useErrorFormat(log: Logger): Plugin {
  return {
    onResultProcess({ result, setResult }) {
      if (Array.isArray(result) || !("errors" in result) || !result.errors) return;
      const errors = result.errors.map((error) => maskError(error, log));
      const hasData = "data" in result && result.data !== undefined;
      setResult({ ...result, errors: hasData ? errors : errors.map(withStatus) });
    },
  };
}

/** The status that Yoga gives the response, unless it has set one. */
function withStatus(error: GraphQLError): GraphQLError {
  // `spec`: 400 where the client reads application/graphql-response+json, and 200 where it reads application/json.
  const http = isMasked(error) ? { status: 500 } : { spec: true, status: 400 };
  return new GraphQLError(error.message, {
    nodes: error.nodes ?? null,
    source: error.source ?? null,
    positions: error.positions ?? null,
    path: error.path ?? null,
    extensions: { http, ...error.extensions },
  });
}
