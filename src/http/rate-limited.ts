import { GraphQLError } from "graphql";
import type { ErrorCode } from "../errors.ts";

/**
 * Makes the error RATE_LIMITED, by which a request is refused as a whole, with 429.
 * @param retryAfterSeconds after which the same may be sent again; also in `Retry-After`.
 * @param headers of the HTTP answer.
 */
export function rateLimited(
  message: string,
  retryAfterSeconds = 1,
  headers: Readonly<Record<string, string>> = {},
): GraphQLError {
  const code: ErrorCode = "RATE_LIMITED";
  const http = { status: 429, headers: { "retry-after": String(retryAfterSeconds), ...headers } };
  return new GraphQLError(message, { extensions: { code, retryAfterSeconds, http } });
}
