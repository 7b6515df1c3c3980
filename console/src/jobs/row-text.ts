import type { Job } from "@ai-job-server/sdk/client";
import { reasonText } from "../job/event-text.ts";

type Told = Pick<Job, "state" | "progress" | "errorMessage" | "statusReason" | "userInputRequest">;

/** @returns what a row of the list says of how far its job is, or why it is no further; nothing where the state has said it. */
export function rowText({ state, progress, errorMessage, statusReason, userInputRequest }: Told): string {
  switch (state) {
    case "RUNNING":
      return progress?.message ?? "";
    case "FAILED":
      return errorMessage ?? reasonText(statusReason);
    case "AWAITING_USER":
      return userInputRequest?.question ?? "";
    case "POISONED":
    case "CANCELLED":
      return statusReason === state.toLowerCase() ? "" : reasonText(statusReason);
    case "QUEUED":
    case "STALLED":
    case "AWAITING_VALIDATION":
    case "COMPLETED":
    case "COMPLETED_WITH_ISSUES":
      return "";
  }
}
