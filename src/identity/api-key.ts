import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/**
 * An API key's secret (section 11): `ajs_`, 43 base62 characters that hold 256 random bits, and 6 of the CRC-32 over all before them.
 * The prefix and the checksum let scanners for leaked secrets tell one from what only looks like one, and let a server refuse a
 * malformed one without asking its database.
 */

const PREFIX = "ajs_";
const RANDOM_BYTES = 32;
const RANDOM_CHARACTERS = 43;
const CHECKSUM_CHARACTERS = 6;
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SHAPE = new RegExp(`^${PREFIX}[0-9A-Za-z]{${RANDOM_CHARACTERS + CHECKSUM_CHARACTERS}}$`);

/** The longest time for which a rotated key's old secret goes on working: a week. */
export const MAX_OVERLAP_SECONDS = 604_800;

/** What is kept of a secret. The secret itself is shown once, and cannot be got from this. */
export interface StoredSecret {
  /** SHA-256. A random secret of 256 bits needs no slow hash: nobody finds it by trying. */
  readonly hash: Buffer;
  /** Its first 8 characters, by which people tell keys apart. */
  readonly prefix: string;
  readonly lastFour: string;
}

/** Makes a new secret, by the operating system's random generator. */
export function newApiKeySecret(): string {
  const random = BigInt(`0x${randomBytes(RANDOM_BYTES).toString("hex")}`);
  return withChecksum(`${PREFIX}${base62(random, RANDOM_CHARACTERS)}`);
}

/** @param random the prefix and the random characters. @returns the secret that begins with them. */
export function withChecksum(random: string): string {
  return `${random}${checksumOf(random)}`;
}

/** Whether a text is a well-formed secret, with the right checksum. It says nothing of whether there is such a key. */
export function isApiKeySecret(text: string): boolean {
  if (!SHAPE.test(text)) return false;
  const random = text.slice(0, -CHECKSUM_CHARACTERS);
  return text.slice(-CHECKSUM_CHARACTERS) === checksumOf(random);
}

/** @returns what is kept of a secret. */
export function storedSecretOf(secret: string): StoredSecret {
  return { hash: hashOfSecret(secret), prefix: secret.slice(0, 8), lastFour: secret.slice(-4) };
}

/** @returns the hash by which a key is found. */
export function hashOfSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

function checksumOf(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_CHARACTERS);
}

function base62(number: bigint, length: number): string {
  let text = "";
  for (let rest = number; text.length < length; rest /= 62n) text = `${ALPHABET[Number(rest % 62n)] ?? ""}${text}`;
  return text;
}
