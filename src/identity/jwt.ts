import { hash } from "node:crypto";
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import { LRUCache } from "lru-cache";
import type { JwtSettings } from "../auth-settings.ts";
import type { Role } from "../db/generated/client/enums.ts";
import { TryAgainError } from "../errors.ts";
import { asUuid } from "../uuid.ts";
import { type Authentication, UNAUTHENTICATED } from "./authentication.ts";
import type { Endings } from "./endings.ts";
import { permissionsOf, ROLES } from "./permissions.ts";
import type { Principal } from "./principal.ts";

/** Of key sets: never one with a shared secret, which would let whoever knows a public key sign with it. */
const PUBLIC_KEY_ALGORITHMS = ["RS256", "ES256", "EdDSA"];
/** How far the clocks of issuers and of this machine may be apart. */
const SKEW_SECONDS = 60;
/** Milliseconds after a key set could not be fetched in which it is not tried again. */
const FETCH_PAUSE_MS = 2_000;
/** Characters of the subject, which stands in each event of what it does. */
const MAX_SUBJECT_LENGTH = 250;
/** JWTs that are remembered: verified ones until they end, refused ones for a while. */
const MAX_VERIFIED = 10_000;
const MAX_REFUSED = 20_000;
const REFUSED_MS = 10_000;

/** A verified JWT. */
interface Verified {
  readonly principal: Principal;
  /** As `Date.now` counts. */
  readonly endsAt: number;
}

export interface JwtPrincipalsOptions {
  readonly settings: JwtSettings;
  readonly endings: Endings;
  readonly onError: (error: unknown) => void;
}

/** The principals that JWTs name. A JWT is verified when it is first sent, and known by its hash until it ends. */
export class JwtPrincipals {
  readonly #options: JwtPrincipalsOptions;
  readonly #keys: JWTVerifyGetKey;
  readonly #algorithms: string[];
  readonly #verified = new LRUCache<string, Verified>({ max: MAX_VERIFIED });
  readonly #refused = new LRUCache<string, true>({ max: MAX_REFUSED, ttl: REFUSED_MS });

  constructor(options: JwtPrincipalsOptions) {
    this.#options = options;
    const { key } = options.settings;
    this.#keys = "jwksUrl" in key ? keySet(key.jwksUrl, options.onError) : async () => key.key;
    this.#algorithms = "jwksUrl" in key ? PUBLIC_KEY_ALGORITHMS : [key.algorithm];
  }

  /** Whether a text has the form of a JWT. */
  static isJwt(text: string): boolean {
    return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
  }

  /** @returns who the JWT names; UnauthenticatedError where it proves nothing, TryAgainError where its key cannot be fetched. */
  find(jwt: string): Authentication | Promise<Authentication> {
    const id = idOf(jwt);
    return this.#recall(id) ?? this.#verify(jwt, id);
  }

  /** @returns what is known of a JWT; undefined where it would have to be verified. */
  recall(jwt: string): Authentication | undefined {
    return this.#recall(idOf(jwt));
  }

  #recall(id: string): Authentication | undefined {
    const known = this.#verified.get(id);
    if (known) return Date.now() < known.endsAt ? known.principal : UNAUTHENTICATED;
    return this.#refused.has(id) ? UNAUTHENTICATED : undefined;
  }

  async #verify(jwt: string, id: string): Promise<Authentication> {
    const { settings, endings, onError } = this.#options;
    const { issuer, audience } = settings;
    try {
      const { payload } = await jwtVerify(jwt, this.#keys, {
        issuer,
        audience,
        algorithms: this.#algorithms,
        clockTolerance: SKEW_SECONDS,
        requiredClaims: ["exp", "sub"],
      });
      const principal = principalOf(payload, settings);
      if (!principal) return this.#refuse(id);
      const exp = principal.expiresAt.getTime();
      // Whoever has seen a JWT before its end lets it end then. Only for one that is new here may the clocks be apart.
      const endsAt = exp > Date.now() ? exp : exp + SKEW_SECONDS * 1000;
      endings.begin(principal, endsAt);
      // Known for as long as it would pass if it were new.
      this.#verified.set(id, { principal, endsAt }, { ttl: Math.max(1, exp + SKEW_SECONDS * 1000 - Date.now()) });
      return principal;
    } catch (error) {
      if (error instanceof TryAgainError) return error;
      if (!(error instanceof errors.JOSEError)) onError(error);
      return this.#refuse(id);
    }
  }

  #refuse(id: string): Authentication {
    this.#refused.set(id, true);
    return UNAUTHENTICATED;
  }
}

function idOf(jwt: string): string {
  return hash("sha256", jwt, "base64");
}

/**
 * Keys by the id that a JWT names. `jose` keeps the set for ten minutes, and fetches it for an id that is not in it no more than
 * twice a minute.
 */
function keySet(url: URL, onError: (error: unknown) => void): JWTVerifyGetKey {
  const find = createRemoteJWKSet(url);
  let pauseUntil = Number.NEGATIVE_INFINITY;
  return async (header, token) => {
    if (performance.now() < pauseUntil) throw new TryAgainError(CANNOT_FETCH);
    try {
      return await find(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      pauseUntil = performance.now() + FETCH_PAUSE_MS;
      onError(error);
      throw new TryAgainError(CANNOT_FETCH);
    }
  };
}

const CANNOT_FETCH =
  "The keys of the issuer of JWTs cannot be fetched now. Nothing was kept; send the same again after a pause.";

/** @returns who the claims name; undefined where they name nobody, no workspace, a role that there is not, or no time. */
function principalOf(claims: JWTPayload, { workspaceClaim, rolesClaim }: JwtSettings) {
  const { sub = "", exp = 0 } = claims;
  const workspaceId = asUuid(claims[workspaceClaim]);
  const roles = claims[rolesClaim];
  const expiresAt = new Date(exp * 1000);
  const isNamed = sub.length > 0 && sub.length <= MAX_SUBJECT_LENGTH && !/\p{Cc}/u.test(sub);
  if (!isNamed || workspaceId === undefined || !isListOfRoles(roles) || !isDate(expiresAt)) return undefined;
  return {
    name: `jwt:${sub}`,
    workspaceId,
    roles,
    permissions: permissionsOf(roles, false),
    jobKinds: null,
    expiresAt,
    keysEndBy: expiresAt,
    apiKeyId: null,
  } satisfies Principal;
}

function isListOfRoles(value: unknown): value is Role[] {
  const isRole = (word: unknown) => typeof word === "string" && Object.hasOwn(ROLES, word);
  return Array.isArray(value) && value.length > 0 && value.length <= Object.keys(ROLES).length && value.every(isRole);
}

/** Whether a date is one: not all numbers of seconds are those of a date. */
function isDate(date: Date): boolean {
  return !Number.isNaN(date.getTime());
}
