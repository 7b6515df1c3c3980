import { timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { ApiKey, PrismaClient } from "../db/generated/client/client.ts";
import { AppError, TryAgainError, UnauthenticatedError } from "../errors.ts";
import { hashOfSecret, isApiKeySecret } from "./api-key.ts";
import { kindsOf } from "./keys.ts";
import { ALL_PERMISSIONS, permissionsOf } from "./permissions.ts";
import { ANONYMOUS, type Principal } from "./principal.ts";

/** Tells who calls, by the credential of a request (section 11), and when that ends. */
export interface Authenticator {
  /**
   * @param authorization the value of the Authorization header, if any.
   * @returns who calls.
   * @throws UnauthenticatedError where it is no valid credential; TryAgainError where the database cannot be asked.
   */
  authenticate(authorization: string | undefined): Promise<Principal>;
  /**
   * Registers a callback for the end of a principal: its key was revoked, rotated or has expired, or that cannot be told any more.
   * @returns a function that removes the callback.
   */
  onEnd(principal: Principal, callback: (reason: AppError) => void): () => void;
  close(): void;
}

/** Of a server without auth: everybody is anonymous, with every permission. */
export const OPEN: Authenticator = {
  authenticate: async () => ANONYMOUS,
  onEnd: () => () => undefined,
  close: () => undefined,
};

/** Milliseconds between two looks at the keys in use: a revocation is heard of no later. */
const LOOK_MS = 500;
/** Milliseconds without a look that succeeded, after which nobody knows any more which keys are valid. */
const MAX_BLIND_MS = 5_000;
/** Milliseconds for which a key that nobody uses is looked at. */
const KEEP_MS = 60_000;
/** Hashes of credentials that are none: each is 44 bytes and asks the database once in a while. */
const MAX_UNKNOWN = 20_000;
const UNKNOWN_MS = 10_000;

/** A secret that is in use, with the key that it is of. */
interface Known {
  readonly hash: Buffer;
  readonly principal: Principal;
  usedAt: number;
  readonly listeners: Set<(reason: AppError) => void>;
}

interface KeyAuthenticatorOptions {
  readonly prisma: PrismaClient;
  /** The operator's key; undefined where there is none. */
  readonly operatorKey: string | undefined;
  readonly onError: (error: unknown) => void;
  /** How many credentials that are none are remembered. */
  readonly maxUnknown?: number;
}

/**
 * Knows API keys by their hashes. A key is read once, when it is first used; after that one statement reads all keys in use, twice a
 * second. A malformed credential, and one that is known to be none, ask the database nothing.
 */
export class KeyAuthenticator implements Authenticator {
  readonly #prisma: PrismaClient;
  readonly #onError: (error: unknown) => void;
  readonly #operator: { readonly hash: Buffer; readonly principal: Principal } | undefined;
  /** By the hash of the secret, in hexadecimal. */
  readonly #known = new Map<string, Known>();
  readonly #unknown: LRUCache<string, true>;
  readonly #timer: NodeJS.Timeout;
  #lookedAt = performance.now();
  #isLooking = false;

  constructor({ prisma, operatorKey, onError, maxUnknown = MAX_UNKNOWN }: KeyAuthenticatorOptions) {
    this.#unknown = new LRUCache({ max: maxUnknown, ttl: UNKNOWN_MS });
    this.#prisma = prisma;
    this.#onError = onError;
    this.#operator = operatorKey === undefined ? undefined : operatorOf(operatorKey);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  async authenticate(authorization: string | undefined): Promise<Principal> {
    const [, secret = ""] = /^Bearer ([\x21-\x7e]{1,200})$/i.exec(authorization ?? "") ?? [];
    if (secret === "") throw new UnauthenticatedError();
    const operator = this.#operator;
    // Hashes have one length, so the comparison takes the same time whatever was sent.
    if (operator && timingSafeEqual(hashOfSecret(secret), operator.hash)) return operator.principal;
    if (!isApiKeySecret(secret)) throw new UnauthenticatedError();
    const hash = hashOfSecret(secret);
    const id = hash.toString("hex");
    const known = this.#known.get(id);
    if (known) return this.#used(known);
    if (this.#unknown.has(id)) throw new UnauthenticatedError();
    const [key] = await this.#read([hash]).catch((error: unknown) => {
      this.#onError(error);
      throw new TryAgainError();
    });
    if (!key) {
      this.#unknown.set(id, true);
      throw new UnauthenticatedError();
    }
    const added = this.#known.get(id) ?? { hash, principal: principalOf(key), usedAt: 0, listeners: new Set() };
    this.#known.set(id, added);
    return this.#used(added);
  }

  onEnd(principal: Principal, callback: (reason: AppError) => void): () => void {
    if (principal.apiKeyId === null) return () => undefined;
    const known = [...this.#known.values()].find((each) => each.principal === principal);
    if (!known) {
      callback(new UnauthenticatedError());
      return () => undefined;
    }
    known.listeners.add(callback);
    return () => known.listeners.delete(callback);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #used(known: Known): Principal {
    if (performance.now() - this.#lookedAt > MAX_BLIND_MS) throw new TryAgainError();
    known.usedAt = performance.now();
    return known.principal;
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const entries = [...this.#known].filter(([id, known]) => this.#isInUse(id, known));
      const keys = entries.length === 0 ? [] : await this.#read(entries.map(([, { hash }]) => hash));
      const valid = new Set(keys.map(({ hash }) => hash));
      for (const [id, known] of entries) if (!valid.has(id)) this.#end(id, known, new UnauthenticatedError());
      this.#lookedAt = performance.now();
    } catch (error) {
      this.#onError(error);
      if (performance.now() - this.#lookedAt > MAX_BLIND_MS)
        for (const [id, known] of this.#known) this.#end(id, known, new TryAgainError());
    } finally {
      this.#isLooking = false;
    }
  }

  #isInUse(id: string, { usedAt, listeners }: Known): boolean {
    const isInUse = listeners.size > 0 || performance.now() - usedAt < KEEP_MS;
    if (!isInUse) this.#known.delete(id);
    return isInUse;
  }

  #end(id: string, { listeners }: Known, reason: AppError): void {
    this.#known.delete(id);
    for (const listener of listeners) listener(reason);
  }

  /** @returns the valid keys that have one of these secrets, each with the hash by which it was found, and notes that they are used. */
  async #read(hashes: readonly Buffer[]): Promise<readonly (ApiKey & { readonly hash: string })[]> {
    const rows = await this.#prisma.$queryRaw<{ apiKeyId: string; hash: string }[]>`
      SELECT k.api_key_id AS "apiKeyId", encode(sought.hash, 'hex') AS hash
      FROM unnest(${[...hashes]}::bytea[]) AS sought(hash)
      JOIN api_keys k ON k.secret_hash = sought.hash
        OR (k.previous_secret_hash = sought.hash AND k.overlap_until > clock_timestamp())
      WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())`;
    if (rows.length === 0) return [];
    const keys = await this.#prisma.apiKey.findMany({
      where: { apiKeyId: { in: rows.map(({ apiKeyId }) => apiKeyId) } },
    });
    return rows.flatMap(({ apiKeyId, hash }) => {
      const key = keys.find((each) => each.apiKeyId === apiKeyId);
      return key ? [{ ...key, hash }] : [];
    });
  }
}

function principalOf(key: ApiKey): Principal {
  const { apiKeyId, workspaceId, roles, expiresAt } = key;
  return {
    name: `key:${apiKeyId}`,
    workspaceId,
    roles,
    permissions: permissionsOf(roles, workspaceId === null),
    jobKinds: kindsOf(key),
    expiresAt,
    apiKeyId,
  };
}

function operatorOf(operatorKey: string) {
  return {
    hash: hashOfSecret(operatorKey),
    principal: { ...ANONYMOUS, name: "operator", permissions: ALL_PERMISSIONS },
  };
}
