import { JobState, type WaitsFor } from "../db/generated/client/enums.ts";

/** Which states a job may enter from each state (section 4). A trigger has the same table; a test compares the two. */
const TRANSITIONS = {
  QUEUED: ["RUNNING", "FAILED", "CANCELLED", "POISONED"],
  RUNNING: [
    "AWAITING_VALIDATION",
    "AWAITING_USER",
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

/** What a job waits for when it enters a state (section 13); a time is its `runAfter`. */
export interface Wait {
  readonly waitsFor: Exclude<WaitsFor, "TIME"> | null;
  /** When the wait ends the job as failed; null, as left out: never. */
  readonly waitsUntil?: Date | null;
}

/**
 * @param reason the `status_reason`: machine-readable and not empty (section 4).
 * @param wait what it waits for there. Left out, it waits for nothing; AWAITING_USER always waits for something.
 * @returns the columns that change when a job enters a state: when it ended, and what it waits for, as well (section 3).
 */
export function transitionTo<State extends JobState>(
  job: { readonly now: Date },
  state: State,
  reason: string,
  ...[{ waitsFor, waitsUntil = null } = { waitsFor: null }]: [State] extends ["AWAITING_USER"]
    ? [Wait]
    : [(Wait | undefined)?]
) {
  return {
    state,
    statusReason: reason,
    completedAt: isTerminal(state) ? job.now : null,
    endedAt: hasEnded(state) ? job.now : null,
    waitsFor,
    waitsUntil,
  };
}

/** Whether a person may retry a job in this state. One that is running or awaits a decision still has an active attempt. */
export function canRetry(state: JobState): boolean {
  return state === "FAILED" || state === "STALLED";
}

/** Whether a job in this state has ended: it has no active attempt, and gets none unless a person retries it (section 4). */
export function hasEnded(state: JobState): boolean {
  return isTerminal(state) || state === "FAILED";
}
