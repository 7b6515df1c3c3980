import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import type { WorkflowRun } from "../db/generated/client/client.ts";

/** How long a lease lasts, in seconds (section 6): where a worker does not say, at least, and at most. */
export const LEASE_SECONDS = { default: 30, min: 5, max: 900 };

const TOKEN_BYTES = 32;

/** A new lease token: what the worker gets, once, and what is stored. */
export function newLeaseToken() {
  const bytes = randomBytes(TOKEN_BYTES);
  return { token: bytes.toString("base64url"), stored: new Uint8Array(sha256(bytes)) };
}

/** The moment at which a lease given or renewed at `now` ends. */
export function leaseUntil(now: Date, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000);
}

/** Whether a token is the one whose hash the run keeps. Takes the same time whatever differs. */
export function provesLease(run: WorkflowRun, token: string): boolean {
  const bytes = Buffer.from(token, "base64url");
  // Compared with its one spelling, too: the decoder passes over whatever is not base64url.
  const wellFormed = bytes.length === TOKEN_BYTES && bytes.toString("base64url") === token;
  return wellFormed && timingSafeEqual(sha256(bytes), run.leaseToken);
}

function sha256(bytes: Uint8Array): Buffer {
  return hash("sha256", bytes, "buffer");
}
