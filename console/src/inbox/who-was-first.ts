import type { EventFragment } from "@ai-job-server/sdk/client";
import { titleOf } from "../job/event-text.ts";

/** Who ended a wait, as the record has it. */
export interface First {
  readonly actorId: string;
  readonly at: string;
  readonly what: string;
}

/** @returns who decided last on what a job waited for; null where nobody did, and it never waited. */
export function whoWasFirst(events: readonly EventFragment[]): First | null {
  const decided = events.findLast(
    ({ previousState, state }) =>
      previousState !== state && (previousState === "AWAITING_USER" || previousState === "AWAITING_VALIDATION"),
  );
  return decided ? { actorId: decided.actorId, at: decided.recordedAt, what: titleOf(decided) } : null;
}
