import type { JobState } from "./generated.ts";

/** The states in which a job has ended, as the server has it (section 4). A state that the server learns must be decided here. */
const HAS_ENDED: Readonly<Record<JobState, boolean>> = {
  QUEUED: false,
  RUNNING: false,
  STALLED: false,
  AWAITING_VALIDATION: false,
  AWAITING_USER: false,
  COMPLETED: true,
  COMPLETED_WITH_ISSUES: true,
  FAILED: true,
  CANCELLED: true,
  POISONED: true,
};

/** Whether a job has ended; a failed one may be retried all the same. */
export function hasEnded({ state }: { readonly state: JobState }): boolean {
  return HAS_ENDED[state];
}
