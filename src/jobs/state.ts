import { JobState } from "../db/generated/client/enums.ts";

/** Section 4: which states a job may go to from each. The database's trigger holds the same table; a test compares. */
const TRANSITIONS = {
  QUEUED: ["RUNNING", "FAILED", "CANCELLED", "POISONED"],
  RUNNING: [
    "AWAITING_VALIDATION",
    "COMPLETED",
    "COMPLETED_WITH_ISSUES",
    "FAILED",
    "CANCELLED",
    "STALLED",
    "QUEUED",
    "POISONED",
  ],
  STALLED: ["QUEUED", "FAILED", "CANCELLED", "POISONED"],
  AWAITING_VALIDATION: ["AWAITING_USER", "COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED", "POISONED"],
  AWAITING_USER: ["QUEUED", "COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED", "POISONED"],
  FAILED: ["QUEUED", "POISONED"],
  COMPLETED: [],
  COMPLETED_WITH_ISSUES: [],
  CANCELLED: [],
  POISONED: [],
} as const satisfies Record<JobState, readonly JobState[]>;

/** Whether section 4 lets a job in `from` become `to`, another state. */
export function mayBecome(from: JobState, to: JobState): boolean {
  const targets: readonly JobState[] = TRANSITIONS[from];
  return targets.includes(to);
}

/** The states from which a job may become `to`. */
export function statesBefore(to: JobState): readonly JobState[] {
  return Object.values(JobState).filter((from) => mayBecome(from, to));
}

/** Whether nothing leaves this state: the job's `completedAt` is set on entering it. */
export function isTerminal(state: JobState): boolean {
  return TRANSITIONS[state].length === 0;
}

/** The columns that change when a job enters a state (sections 3 and 4). `reason` is machine-readable, never empty. */
export function transitionTo(job: { readonly now: Date }, state: JobState, reason: string) {
  return { state, statusReason: reason, completedAt: isTerminal(state) ? job.now : null };
}

/** Whether a person may have a job here tried again: a running one, or one that waits for an answer, has its attempt. */
export function canRetry(state: JobState): boolean {
  return state === "FAILED" || state === "STALLED";
}

/** Whether a job here has no attempt under way, nor will have one unless somebody retries it. */
export function hasEnded(state: JobState): boolean {
  return isTerminal(state) || state === "FAILED";
}
