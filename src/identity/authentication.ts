import { type TooManyFailuresError, type TryAgainError, UnauthenticatedError } from "../errors.ts";
import type { Principal } from "./principal.ts";

/** Why it cannot be said who calls: it is no valid credential, too many came that were none, or whoever knows cannot be asked now. */
export type Refusal = UnauthenticatedError | TooManyFailuresError | TryAgainError;

/** Who calls; or why that cannot be said. */
export type Authentication = Principal | Refusal;

/** One for all, since most of them answer those who try. */
export const UNAUTHENTICATED = new UnauthenticatedError();
