import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Run } from "../db/rows.ts";

/** How long a lease lasts, in seconds (section 6): where a worker does not say, at least, and at most. */
export const LEASE_SECONDS = { default: 30, min: 5, max: 900 };

const TOKEN_BYTES = 32;

/**
 * Makes a random lease token (section 9).
 * @returns `token`, which the worker gets once, and `stored`, its SHA-256: whoever reads the database cannot report.
 */
export function newLeaseToken() {
  const bytes = randomBytes(TOKEN_BYTES);
  return { token: bytes.toString("base64url"), stored: new Uint8Array(sha256(bytes)) };
}

/** @returns when a lease that is granted or renewed at `now` expires. */
export function leaseUntil(now: Date, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000);
}

/**
 * Tells whether a token is that of the run's lease, by its hash; the lease may have expired. The comparison takes constant
 * time, so its duration tells an attacker nothing about the hash.
 */
export function provesLease(run: Run, token: string): boolean {
  const bytes = Buffer.from(token, "base64url");
  // Encoded again and compared, because the decoder ignores invalid characters: many texts would decode to the same bytes.
  const isWellFormed = bytes.length === TOKEN_BYTES && bytes.toString("base64url") === token;
  return isWellFormed && timingSafeEqual(sha256(bytes), run.leaseToken);
}

function sha256(bytes: Uint8Array): Buffer {
  return hash("sha256", bytes, "buffer");
}
