import { become } from "../jobs/state.ts";
import type { JobPatch, LockedJob } from "../recorder/commit.ts";

/** Milliseconds before the second attempt, doubled for each later one, and the most that it grows to. */
const BACKOFF = { first: 5_000, most: 15 * 60_000 };

/**
 * What becomes of a running job whose run has failed: queued again, later, while attempts are left; else failed.
 * @param reason machine-readable, for a job that stays failed.
 * @param jitter from 0 to 1: spreads jobs that failed together over half of the wait.
 */
export function afterFailure(
  job: Pick<LockedJob, "attempt" | "maxAttempts" | "now">,
  { retryable, reason }: { readonly retryable: boolean; readonly reason: string },
  jitter = Math.random(),
): JobPatch & { readonly statusReason: string } {
  if (!retryable || job.attempt >= job.maxAttempts) return become(job, "FAILED", reason);
  const wait = Math.min(BACKOFF.first * 2 ** (job.attempt - 1), BACKOFF.most) * (0.5 + jitter / 2);
  return { ...become(job, "QUEUED", "retry_scheduled"), runAfter: new Date(job.now.getTime() + Math.round(wait)) };
}
