import { AppError, TooManyFailuresError, UnauthenticatedError } from "../errors.ts";
import type { FailedLogins } from "../rates/failed-logins.ts";
import type { Authentication } from "./authentication.ts";
import type { Authenticator, Credential } from "./authenticator.ts";

/** Tells who calls, by what a request has of who sends it and, where that is not known yet, by the address that it comes from. */
export type Login = (credential: Credential, address: () => string) => Authentication | Promise<Authentication>;

/**
 * Makes the one place at which callers are told apart, over every transport. From an address that has sent too many credentials that
 * are none, only those pass that are known to be valid: who shares the address goes on, and nobody is asked about the others
 * (section 11). A request without any credential guesses nothing, and does not count.
 * @param failures undefined where there is no limit.
 */
export function createLogin(authenticator: Authenticator, failures: FailedLogins | undefined): Login {
  if (!failures) return (credential) => authenticator.authenticate(credential);
  return (credential, address) => {
    const known = authenticator.recall(credential);
    if (
      (credential.authorization === undefined && credential.session === undefined) ||
      (known && !(known instanceof AppError))
    )
      return known ?? authenticator.authenticate(credential);
    const from = address();
    const blockedMs = failures.blockedMs(from);
    if (blockedMs > 0) return new TooManyFailuresError(Math.ceil(blockedMs / 1000));
    const note = (found: Authentication) => {
      if (found instanceof UnauthenticatedError) failures.failed(from);
      return found;
    };
    const found = known ?? authenticator.authenticate(credential);
    return found instanceof Promise ? found.then(note) : note(found);
  };
}
