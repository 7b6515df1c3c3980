import type { GraphQLError } from "graphql";
import { rateLimited } from "./rate-limited.ts";

/**
 * Limits of what clients may keep open. They are far above any honest use, and bound the memory that others can take.
 */

/** Running operations of one WebSocket, or of one stream in single connection mode. */
export const MAX_OPERATIONS = 1000;
/** Reserved streams in single connection mode that no client has opened yet, in the whole server. */
export const MAX_RESERVATIONS = 1000;
/** Those that were reserved over one connection. */
export const MAX_RESERVATIONS_OF_CONNECTION = 100;

/** Characters of an operation's id, which stands in each of its results. */
export const MAX_ID_LENGTH = 256;

/** Makes the error that refuses an operation because those that run on its connection are too large together. */
export function tooLargeOperations(maxLength: number): GraphQLError {
  return rateLimited(
    `The operations of this connection have more than ${maxLength} characters together. End one, or open another connection.`,
  );
}

/** Makes the error that refuses another operation (RATE_LIMITED); the running ones go on. */
export function tooManyOperations(max: number): GraphQLError {
  return rateLimited(`This connection already has ${max} operations. End one, or open another connection.`);
}
