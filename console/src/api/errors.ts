import { JobServerError, UnansweredError } from "@ai-job-server/sdk/client";

/** What may be answered if it is asked again. */
export function isTransientError(error: unknown): boolean {
  return error instanceof UnansweredError || codeOf(error) === "TRY_AGAIN" || codeOf(error) === "RATE_LIMITED";
}

/** @returns the server's code of a refusal; undefined for what is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof JobServerError ? error.code : undefined;
}

/** @returns an error as a sentence for people. */
export function messageOf(error: unknown): string {
  if (error instanceof UnansweredError) return "The server did not answer. Nobody knows whether it did what was asked.";
  return error instanceof Error ? error.message : String(error);
}
