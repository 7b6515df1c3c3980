import type { EventFragment } from "@ai-job-server/sdk/client";
import { textIn, valueIn } from "../ui/payload.ts";

/** What the events of a job say of the job as it is now. */

/** @returns the event by which the job came into its state. */
function lastStateChange(events: readonly EventFragment[]): EventFragment | undefined {
  return events.findLast(({ previousState, state }) => previousState !== state);
}

/** @returns whether the job is where it is by a failure of which its worker said that another attempt would not help. */
export function isSaidToBeFinal(events: readonly EventFragment[]): boolean {
  return valueIn(lastStateChange(events)?.payload, "retryable") === false;
}

/** @returns why the job was cancelled, in the words of whoever did it; undefined where it was not, or nothing was said. */
export function whyCancelled(events: readonly EventFragment[]): string | undefined {
  const last = lastStateChange(events);
  return last?.state === "CANCELLED" ? saidIn(last.payload) : undefined;
}

/** @returns what somebody said with a decision or a cancellation; undefined for nothing. */
export function saidIn(payload: unknown): string | undefined {
  const said = textIn(payload, "detail") ?? textIn(payload, "comment");
  return said === "" ? undefined : said;
}
