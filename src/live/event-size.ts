import type { LoggedEvent } from "../log/read.ts";
import { bytesOf } from "../value-bytes.ts";

/** What events take of the memory: clients can make them large, so to count them is no bound. */

/** Bytes of memory for which an event counts as one. */
const EVENT_BYTES = 16 * 1024;
/** Bytes of events that one subscriber reads at once, but for the last of them. */
const CATCH_UP_PAGE_BYTES = 256 * 1024;

/** @returns for how many events an event counts: one for each 16 KiB begun. */
export function countOf(event: LoggedEvent): number {
  return Math.ceil(bytesOf(event) / EVENT_BYTES);
}

/** @returns the first events, up to the one with which they are as large as a page may be. */
export function firstWithinPage(events: readonly LoggedEvent[]): readonly LoggedEvent[] {
  let bytes = 0;
  const end = events.findIndex((event) => {
    bytes += bytesOf(event);
    return bytes > CATCH_UP_PAGE_BYTES;
  });
  return end === -1 ? events : events.slice(0, end + 1);
}
