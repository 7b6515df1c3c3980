import type { LockedJobSummary } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import type { JobPatch } from "../jobs/version.ts";

/** Milliseconds before the second attempt, doubled for each later one, and the maximum that they grow to. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * What becomes of a running job whose run has failed (section 6): queued again, for later, while attempts are left; else
 * failed.
 * @param reason machine-readable, for a job that stays failed.
 * @param jitter from 0 to 1: spreads jobs that failed together over half of the wait, so that they do not all come back
 * at once.
 */
export function afterFailure(
  job: Pick<LockedJobSummary, "attempt" | "maxAttempts" | "revisions" | "now">,
  { retryable, reason }: { readonly retryable: boolean; readonly reason: string },
  { firstMs, maxMs }: Backoff,
  jitter = Math.random(),
): JobPatch & { readonly statusReason: string } {
  // An attempt that a person sent back was no failure: it is not charged.
  const charged = Math.max(job.attempt - job.revisions, 1);
  if (!retryable || charged >= job.maxAttempts) return transitionTo(job, "FAILED", reason);
  const wait = Math.min(firstMs * 2 ** (charged - 1), maxMs) * (0.5 + jitter / 2);
  return {
    ...transitionTo(job, "QUEUED", "retry_scheduled"),
    runAfter: new Date(job.now.getTime() + Math.round(wait)),
  };
}
