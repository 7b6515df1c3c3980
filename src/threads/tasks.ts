import { canonicalHash } from "../canonical-hash.ts";
import type { GuardContent } from "../security/guards/guard.ts";
import { type ScanOutcome, scanContent } from "../security/guards/scan-content.ts";

/**
 * What worker threads do (`pool.ts`). Each task takes JSON as text: to copy a large object into a thread takes the caller as long
 * as the work itself, to copy a text takes a millisecond.
 */

/** @returns the hash of a JSON value's canonical form. */
export function hashCanonically(json: string): string {
  return canonicalHash(JSON.parse(json));
}

/** Scans the guarded content whose JSON this is. */
export function scan(json: string): ScanOutcome {
  return scanContent(contentOf(json));
}

/** What `toJson` made of guarded content. */
function contentOf(json: string): GuardContent;
function contentOf(json: string): unknown {
  const content: unknown = JSON.parse(json);
  return content;
}
