import type { JobState } from "../../src/db/generated/client/enums.ts";
import type { DbEnum } from "../../src/db/rows.ts";

export type StateWord = DbEnum<JobState>;

/**
 * The table of section 4, copied by hand. The server has it twice, in TypeScript and in SQL; tests compare both with
 * this third copy.
 */
const SECTION_4 = {
  queued: ["running", "failed", "cancelled", "poisoned"],
  running: [
    "awaiting_validation",
    "awaiting_user",
    "completed",
    "completed_with_issues",
    "failed",
    "cancelled",
    "stalled",
    "queued",
    "poisoned",
  ],
  stalled: ["queued", "failed", "cancelled", "poisoned"],
  awaiting_validation: ["awaiting_user", "completed", "completed_with_issues", "failed", "cancelled", "poisoned"],
  awaiting_user: ["queued", "completed", "completed_with_issues", "failed", "cancelled", "poisoned"],
  completed: [],
  completed_with_issues: [],
  failed: ["queued", "poisoned"],
  cancelled: [],
  poisoned: [],
} as const satisfies Record<StateWord, readonly StateWord[]>;

export const STATES: readonly StateWord[] = [
  "queued",
  "running",
  "stalled",
  "awaiting_validation",
  "awaiting_user",
  "completed",
  "completed_with_issues",
  "failed",
  "cancelled",
  "poisoned",
];

/** Whether section 4 allows a job to change from one state to the other. */
function isAllowed(from: StateWord, to: StateWord): boolean {
  const targets: readonly StateWord[] = SECTION_4[from];
  return targets.includes(to);
}

/** All 90 pairs of different states, and whether section 4 allows the change. */
export const PAIRS = STATES.flatMap((from) =>
  STATES.filter((to) => to !== from).map((to) => ({ from, to, allowed: isAllowed(from, to) })),
);
