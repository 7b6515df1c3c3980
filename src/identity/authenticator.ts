import { hash, timingSafeEqual } from "node:crypto";
import { type JwtSettings, OPERATOR_KEY_LENGTH } from "../auth-settings.ts";
import type { PrismaClient } from "../db/generated/client/client.ts";
import { type AppError, NotFoundError, TryAgainError, type UnauthenticatedError } from "../errors.ts";
import { isApiKeySecret } from "./api-key.ts";
import { type Authentication, UNAUTHENTICATED } from "./authentication.ts";
import { Endings } from "./endings.ts";
import { JwtPrincipals } from "./jwt.ts";
import { ANONYMOUS, OPERATOR, type Principal } from "./principal.ts";
import { createSession, deleteSession, hashOfSession, isSessionSecret, type NewSession } from "./sessions.ts";
import { StoredPrincipals } from "./stored-principals.ts";

/** What a request has of who sends it. */
export interface Credential {
  /** The value of the Authorization header, or what stands for it, if any. It alone counts where it is there. */
  readonly authorization: string | undefined;
  /** The secret of a session, if any. */
  readonly session?: string | undefined;
}

/** Tells who calls, by the credential of a request (section 11), and when that ends. */
export interface Authenticator {
  /** @returns who calls, at once where that is known; or why that cannot be said. The promise is never rejected. */
  authenticate(credential: Credential): Authentication | Promise<Authentication>;
  /** @returns what `authenticate` would say at once; undefined where it would ask somebody. */
  recall(credential: Credential): Authentication | undefined;
  /**
   * Registers a callback for the end of a principal: its credential was revoked, rotated or has expired, or that cannot be told any
   * more. It is called at once where that has been.
   * @returns a function that removes the callback.
   */
  onEnd(principal: Principal, callback: (reason: AppError) => void): () => void;
  /**
   * Makes a session of a principal.
   * @param authorization by which it was found; a session is made of no session.
   * @returns the session; UnauthenticatedError where the principal has ended, NotFoundError where a JWT names a workspace that does not
   *   exist, TryAgainError where it could not be stored.
   */
  beginSession(
    principal: Principal,
    authorization: string,
  ): Promise<NewSession | UnauthenticatedError | NotFoundError | TryAgainError>;
  /**
   * Ends a session, and all that works for it. To repeat it changes nothing.
   * @returns TryAgainError where that could not be done.
   */
  endSession(session: string): Promise<TryAgainError | undefined>;
  close(): void;
}

/** Of a server without auth: everybody is anonymous, with every permission. */
export const OPEN: Authenticator = {
  authenticate: () => ANONYMOUS,
  recall: () => ANONYMOUS,
  onEnd: () => () => undefined,
  // There is nobody to be.
  beginSession: async () => UNAUTHENTICATED,
  endSession: async () => undefined,
  close: () => undefined,
};

export interface AuthenticatorOptions {
  readonly prisma: PrismaClient;
  /** The operator's key; undefined where there is none. */
  readonly operatorKey: string | undefined;
  /** Whose JWTs are accepted; undefined for nobody's. */
  readonly jwt?: JwtSettings | undefined;
  /** Called where the database, or an issuer of JWTs, does not answer as it should. */
  readonly onError: (error: unknown) => void;
  /** How many credentials that are none are remembered. */
  readonly maxUnknown?: number;
}

/** The longest Authorization header that is looked at: Node accepts no more than this of all headers together. */
const BEARER = /^Bearer ([\x21-\x7e]{1,16384})$/i;

/** Makes the authenticator of a server with auth: it knows the operator's key, API keys, JWTs and sessions, each by its form. */
export function createAuthenticator({ operatorKey, jwt, ...options }: AuthenticatorOptions): Authenticator {
  const { prisma, onError } = options;
  const endings = new Endings();
  const operatorHash = operatorKey === undefined ? undefined : hash("sha256", operatorKey);
  const issuerHash = jwt && hash("sha256", JSON.stringify([jwt.issuer, jwt.audience]));
  const vouchers = [operatorHash, issuerHash].filter((voucher) => voucher !== undefined);
  const stored = new StoredPrincipals({ ...options, vouchers, endings });
  const jwts = jwt && new JwtPrincipals({ settings: jwt, endings, onError });
  const isOperator = operatorHash === undefined ? () => false : comparison(operatorHash);

  const byForm = <Answer>(
    { authorization, session = "" }: Credential,
    ofStored: (hash: string) => Answer,
    ofJwt: (jwt: string, principals: JwtPrincipals) => Answer,
  ) => {
    if (authorization === undefined)
      return isSessionSecret(session) ? ofStored(hashOfSession(session)) : UNAUTHENTICATED;
    const secret = secretIn(authorization);
    if (isOperator(secret)) return OPERATOR;
    if (isApiKeySecret(secret)) return ofStored(hash("sha256", secret));
    if (jwts && JwtPrincipals.isJwt(secret)) return ofJwt(secret, jwts);
    return UNAUTHENTICATED;
  };

  /** What must go on being valid for the session of a principal to be. */
  const voucherOf = (principal: Principal, authorization: string) => {
    if (principal.apiKeyId !== null) return hash("sha256", secretIn(authorization));
    return principal === OPERATOR ? operatorHash : issuerHash;
  };

  const tryAgain = (error: unknown) => {
    onError(error);
    return new TryAgainError();
  };

  return {
    authenticate: (credential) =>
      byForm(
        credential,
        (secretHash) => stored.find(secretHash),
        (jwt, principals) => principals.find(jwt),
      ),
    recall: (credential) =>
      byForm(
        credential,
        (secretHash) => stored.recall(secretHash),
        (jwt, principals) => principals.recall(jwt),
      ),
    onEnd: (principal, callback) => endings.onEnd(principal, callback),
    beginSession: async (principal, authorization) => {
      const voucher = voucherOf(principal, authorization);
      if (voucher === undefined) return UNAUTHENTICATED;
      const hasEnded = principal.expiresAt !== null && principal.expiresAt.getTime() <= Date.now();
      return createSession(prisma, principal, voucher).then(
        (session) => session ?? (hasEnded ? UNAUTHENTICATED : new NotFoundError("workspace")),
        tryAgain,
      );
    },
    endSession: (session) =>
      deleteSession(prisma, session).then(() => {
        stored.end(hashOfSession(session));
        return undefined;
      }, tryAgain),
    close: () => stored.close(),
  };
}

/** @returns the secret in the value of an Authorization header; an empty text where there is none. */
function secretIn(authorization: string): string {
  return BEARER.exec(authorization)?.[1] ?? "";
}

/**
 * @param expected SHA-256 of a secret, in hexadecimal.
 * @returns a comparison with that secret that takes the same time whatever is sent: hashes have one length.
 */
function comparison(expected: string): (sent: string) => boolean {
  const bytes = Buffer.from(expected, "hex");
  const { min, max } = OPERATOR_KEY_LENGTH;
  return (sent) => sent.length >= min && sent.length <= max && timingSafeEqual(hash("sha256", sent, "buffer"), bytes);
}
