import type { LockedJobSummary } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import type { JobPatch } from "../jobs/version.ts";

/** How long a job waits for its next attempt after a failure. The wait doubles with each charged attempt. */
export interface Backoff {
  /** Milliseconds before the second attempt. */
  readonly firstMs: number;
  /** The longest wait, in milliseconds. */
  readonly maxMs: number;
}

/** What a failure says of the next attempt. */
export interface FailureToRetry {
  readonly retryable: boolean;
  /** The machine-readable `status_reason` of a job that stays failed. */
  readonly reason: string;
  /** The earliest time at which the job is due again; null, as left out: after the backoff. */
  readonly notBefore?: Date | null | undefined;
}

/**
 * Decides what happens to a job whose run has failed or stalled (section 6, "Retry by policy").
 * @param jitter a random number from 0 to 1: the wait is shortened by up to half, so that jobs that failed together do not
 * all become due at the same moment.
 * @returns the change that queues the job again, due after a wait, while attempts are left; else the one that fails it.
 */
export function afterFailure(
  job: Pick<LockedJobSummary, "attempt" | "maxAttempts" | "unchargedAttempts" | "now">,
  { retryable, reason, notBefore }: FailureToRetry,
  { firstMs, maxMs }: Backoff,
  jitter = Math.random(),
): JobPatch & ReturnType<typeof transitionTo> {
  // An attempt that was sent back, given back or answered did not fail, so it is not charged.
  const chargedAttempts = Math.max(job.attempt - job.unchargedAttempts, 1);
  if (!retryable || chargedAttempts >= job.maxAttempts) return transitionTo(job, "FAILED", reason);
  const waitMs = Math.min(firstMs * 2 ** (chargedAttempts - 1), maxMs) * (0.5 + jitter / 2);
  const due = job.now.getTime() + Math.round(waitMs);
  return {
    ...transitionTo(job, "QUEUED", "retry_scheduled"),
    runAfter: new Date(Math.max(due, notBefore?.getTime() ?? 0)),
  };
}
