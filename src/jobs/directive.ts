import type { JobState } from "../db/generated/client/enums.ts";
import type { WorkflowDirective } from "../errors.ts";

/** @returns what a worker must do now, given the state of its job (section 6). */
export function directiveOf(state: JobState): WorkflowDirective {
  switch (state) {
    case "RUNNING":
      return "CONTINUE";
    case "POISONED":
      return "STOP_POISONED";
    case "CANCELLED":
      return "STOP_CANCELLED";
    case "FAILED":
      return "STOP_FAILED";
    case "QUEUED":
    case "STALLED":
    case "AWAITING_VALIDATION":
    case "AWAITING_USER":
    case "COMPLETED":
    case "COMPLETED_WITH_ISSUES":
      return "STOP_LEASE_LOST";
  }
}
