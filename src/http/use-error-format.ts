import type { Plugin } from "graphql-yoga";
import type { Logger } from "pino";
import { maskError } from "./error-format.ts";

/** Every error of every result leaves in one format, whichever stage of the pipeline made it. */
export function useErrorFormat(log: Logger): Plugin {
  return {
    onResultProcess({ result, setResult }) {
      if (Array.isArray(result) || !("errors" in result) || !result.errors) return;
      setResult({ ...result, errors: result.errors.map((error) => maskError(error, log)) });
    },
  };
}
