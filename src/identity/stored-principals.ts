import { LRUCache } from "lru-cache";
import { batchCalls } from "../db/batch.ts";
import type { PrismaClient } from "../db/generated/client/client.ts";
import { TryAgainError, type UnauthenticatedError } from "../errors.ts";
import { type Authentication, UNAUTHENTICATED } from "./authentication.ts";
import type { Endings } from "./endings.ts";
import type { Principal } from "./principal.ts";
import { noteUse, readCredentials, type StoredCredential } from "./stored-credentials.ts";

/** Milliseconds between two looks at the credentials in use: what ends one is heard of no later. */
const LOOK_MS = 500;
/** Milliseconds after which what the database said of a credential is not known any more. */
const MAX_BLIND_MS = 5_000;
/** Milliseconds for which a credential that nobody uses is looked at: longer than a request takes to come whole and begin a stream. */
const KEEP_MS = 120_000;
/** Milliseconds between two notes of the use of a key: `lastUsedAt` is to the minute. */
const NOTE_MS = 60_000;
/** Credentials that are none, and for how long they are known to be none: each asks the database once in that time. */
const MAX_UNKNOWN = 20_000;
const UNKNOWN_MS = 10_000;
/** Before every time that `performance.now` gives. */
const NEVER = -Infinity;
/** The most credentials that one statement reads for requests that came together. */
const MAX_READ_TOGETHER = 1_000;

/** A credential in use. Times are as `performance.now` counts. */
interface Known {
  readonly principal: Principal;
  /** When the database was last asked and said that it is valid. */
  validAt: number;
  /** When it ends by itself, unless the database says otherwise. */
  endsAt: number;
  usedAt: number;
  notedAt: number;
}

export interface StoredPrincipalsOptions {
  readonly prisma: PrismaClient;
  /** What this server takes sessions of others than keys by, in hexadecimal. */
  readonly vouchers: readonly string[];
  readonly endings: Endings;
  readonly onError: (error: unknown) => void;
  /** How many credentials that are none are remembered. */
  readonly maxUnknown?: number;
}

/**
 * The principals that the database knows by the hash of a secret. A credential is read when it is first used, together with others
 * of that moment; after that one statement reads all in use, twice a second. What is known to be none asks the database nothing.
 */
export class StoredPrincipals {
  readonly #options: StoredPrincipalsOptions;
  readonly #known = new Map<string, Known>();
  readonly #unknown: LRUCache<string, true>;
  readonly #readOne: (hash: string) => Promise<StoredCredential | undefined>;
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;

  constructor(options: StoredPrincipalsOptions) {
    this.#options = options;
    this.#unknown = new LRUCache({ max: options.maxUnknown ?? MAX_UNKNOWN, ttl: UNKNOWN_MS });
    this.#readOne = readTogether((hashes) => this.#read(hashes));
    this.#timer = setInterval(() => this.#tick(), LOOK_MS);
    this.#timer.unref();
  }

  /**
   * @param hash SHA-256 of the secret, in hexadecimal.
   * @returns who has it; UnauthenticatedError where nobody has, TryAgainError where that cannot be told.
   */
  find(hash: string): Authentication | Promise<Authentication> {
    return this.recall(hash) ?? this.#ask(hash);
  }

  /** @returns what is known of a secret's hash; undefined where the database would have to be asked. */
  recall(hash: string): Authentication | undefined {
    const known = this.#known.get(hash);
    if (known && performance.now() < known.endsAt) return this.#used(known);
    return this.#unknown.has(hash) ? UNAUTHENTICATED : undefined;
  }

  /** Ends what was ended by this server, without waiting for the next look. */
  end(hash: string): void {
    this.#end(hash, UNAUTHENTICATED);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #read(hashes: readonly string[]): Promise<readonly StoredCredential[]> {
    const { prisma, vouchers } = this.#options;
    return readCredentials(prisma, { hashes, vouchers });
  }

  #used(known: Known): Authentication {
    const now = performance.now();
    if (now - known.validAt > MAX_BLIND_MS) return new TryAgainError();
    known.usedAt = now;
    return known.principal;
  }

  async #ask(hash: string): Promise<Authentication> {
    const askedAt = performance.now();
    try {
      const found = await this.#readOne(hash);
      if (found) return this.#used(this.#keep(found, askedAt));
      this.#end(hash, UNAUTHENTICATED);
      this.#unknown.set(hash, true);
      return UNAUTHENTICATED;
    } catch (error) {
      this.#options.onError(error);
      return new TryAgainError();
    }
  }

  #keep({ hash, principal, msLeft }: StoredCredential, askedAt: number): Known {
    const endsAt = msLeft === null ? Infinity : askedAt + msLeft;
    const isNew = !this.#known.has(hash);
    const known = this.#known.get(hash) ?? { principal, endsAt, validAt: askedAt, usedAt: 0, notedAt: NEVER };
    known.endsAt = endsAt;
    known.validAt = askedAt;
    if (isNew) this.#options.endings.begin(principal);
    this.#known.set(hash, known);
    return known;
  }

  #tick(): void {
    // Here and not only where a look fails: one that gets no answer fails late.
    for (const [hash, { validAt }] of this.#known)
      if (performance.now() - validAt > MAX_BLIND_MS) this.#end(hash, new TryAgainError());
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#look()
      .catch(this.#options.onError)
      .finally(() => {
        this.#isLooking = false;
      });
  }

  async #look(): Promise<void> {
    const askedAt = performance.now();
    this.#forgetUnused();
    const hashes = [...this.#known.keys()];
    if (hashes.length > 0) {
      const found = await this.#read(hashes);
      const valid = new Set(found.map(({ hash }) => hash));
      for (const hash of hashes) if (!valid.has(hash)) this.#end(hash, UNAUTHENTICATED);
      for (const credential of found) if (this.#known.has(credential.hash)) this.#keep(credential, askedAt);
    }
    await this.#noteUse();
  }

  #forgetUnused(): void {
    const now = performance.now();
    for (const [hash, known] of this.#known) {
      // A stream or socket is use.
      if (this.#options.endings.isAwaited(known.principal)) known.usedAt = now;
      if (now - known.usedAt > KEEP_MS) this.#known.delete(hash);
    }
  }

  async #noteUse(): Promise<void> {
    const now = performance.now();
    const due = [...this.#known.values()].filter(({ usedAt, notedAt }) => usedAt > notedAt && now - notedAt >= NOTE_MS);
    const ids = new Set(due.flatMap(({ principal: { apiKeyId } }) => (apiKeyId === null ? [] : [apiKeyId])));
    if (ids.size > 0) await noteUse(this.#options.prisma, [...ids]);
    for (const known of due) known.notedAt = now;
  }

  #end(hash: string, reason: UnauthenticatedError | TryAgainError): void {
    const known = this.#known.get(hash);
    this.#known.delete(hash);
    if (known) this.#options.endings.end(known.principal, reason);
  }
}

/** @returns a read of one credential, which shares a statement with those of the same tick. */
function readTogether(
  readAll: (hashes: readonly string[]) => Promise<readonly StoredCredential[]>,
): (hash: string) => Promise<StoredCredential | undefined> {
  const read = async (hashes: readonly string[]) => {
    const found = new Map((await readAll(hashes)).map((each) => [each.hash, each]));
    return hashes.map((hash) => found.get(hash));
  };
  return batchCalls<string, StoredCredential | undefined>({
    keyOf: () => "",
    maxCalls: MAX_READ_TOGETHER,
    send: "END_OF_TICK",
    runTogether: read,
    runAlone: async (hash) => (await read([hash]))[0],
    // What fails one fails each: the database.
    mayRunAgain: () => false,
  });
}
