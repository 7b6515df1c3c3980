import { GraphQLError } from "graphql";
import type { ErrorCode } from "../errors.ts";

/** What one connection may have at once: nobody who means well comes near it, and nobody else takes more memory. */

/** Operations over one WebSocket, or over one stream of several operations, that have not ended. */
export const MAX_OPERATIONS = 1000;
/** Streams of several operations that are reserved, and that nobody reads yet. */
export const MAX_RESERVATIONS = 1000;

/** The refusal of one operation more; those that there are go on. */
export function tooManyOperations(max: number): GraphQLError {
  const code: ErrorCode = "RATE_LIMITED";
  return new GraphQLError(`This connection has ${max} operations already. End one, or open another connection.`, {
    extensions: { code, http: { status: 429 } },
  });
}
