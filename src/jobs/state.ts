import { JobState } from "../db/generated/client/enums.ts";

/** Which states a job may enter from each state (section 4). A trigger has the same table; a test compares the two. */
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

/** Whether a job may go from one state to another, different one (section 4). */
export function mayBecome(from: JobState, to: JobState): boolean {
  const targets: readonly JobState[] = TRANSITIONS[from];
  return targets.includes(to);
}

/** @returns the states from which a job may enter `to`. */
export function statesBefore(to: JobState): readonly JobState[] {
  return Object.values(JobState).filter((from) => mayBecome(from, to));
}

/** Whether nothing leaves this state. A job's `completedAt` is set when it enters one of these. */
export function isTerminal(state: JobState): boolean {
  return TRANSITIONS[state].length === 0;
}

/**
 * @param reason the `status_reason`: machine-readable and not empty (section 4).
 * @returns the columns that change when a job enters a state, including `completedAt` (section 3).
 */
export function transitionTo(job: { readonly now: Date }, state: JobState, reason: string) {
  return { state, statusReason: reason, completedAt: isTerminal(state) ? job.now : null };
}

/** Whether a person may retry a job in this state. One that is running or awaits a decision still has an active attempt. */
export function canRetry(state: JobState): boolean {
  return state === "FAILED" || state === "STALLED";
}

/** Whether a job in this state has ended: it has no active attempt, and gets none unless a person retries it (section 4). */
export function hasEnded(state: JobState): boolean {
  return isTerminal(state) || state === "FAILED";
}
