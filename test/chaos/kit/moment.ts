import type { Moment } from "../moment.ts";

/** A moment by clocks that all threads of the process share. */
export function sharedMoment(): Moment {
  return { steadyMs: Number(process.hrtime.bigint()) / 1e6, wallMs: Date.now() };
}
