import type { JobState } from "@ai-job-server/sdk/client";

/** How each state looks and reads; the sign says the same as the colour, for those who see none. */
export const LOOKS = {
  QUEUED: { sign: "◌", word: "Queued", tone: "wait" },
  RUNNING: { sign: "▶", word: "Running", tone: "run" },
  STALLED: { sign: "‖", word: "Stalled", tone: "warn" },
  AWAITING_VALIDATION: { sign: "?", word: "To validate", tone: "ask" },
  AWAITING_USER: { sign: "?", word: "Asks", tone: "ask" },
  COMPLETED: { sign: "✓", word: "Completed", tone: "good" },
  COMPLETED_WITH_ISSUES: { sign: "✓", word: "With issues", tone: "warn" },
  FAILED: { sign: "✕", word: "Failed", tone: "bad" },
  CANCELLED: { sign: "–", word: "Cancelled", tone: "off" },
  POISONED: { sign: "☠", word: "Poisoned", tone: "poison" },
} as const satisfies Record<JobState, { sign: string; word: string; tone: string }>;

export const STATES = Object.freeze([
  "QUEUED",
  "RUNNING",
  "AWAITING_USER",
  "AWAITING_VALIDATION",
  "STALLED",
  "COMPLETED",
  "COMPLETED_WITH_ISSUES",
  "FAILED",
  "CANCELLED",
  "POISONED",
] as const satisfies readonly JobState[]);

/** @returns the state's name for people. */
export function stateWord(state: JobState): string {
  return LOOKS[state].word;
}

/** Whether such a job can be cancelled, and whether it can be tried again (section 3). */
export const CAN_CANCEL: ReadonlySet<JobState> = new Set([
  "QUEUED",
  "RUNNING",
  "STALLED",
  "AWAITING_VALIDATION",
  "AWAITING_USER",
]);
export const CAN_RETRY: ReadonlySet<JobState> = new Set(["FAILED", "STALLED"]);
