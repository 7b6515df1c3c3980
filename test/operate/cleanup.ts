import { afterEach } from "vitest";
import { removeFolders } from "./cluster.ts";

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  // The last first; what a test has stopped itself fails here, and may.
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup().catch(() => undefined);
  await removeFolders();
});

/** Ends a value when the test has ended. @returns the value. */
export function untilTestEnds<T>(value: T, end: (value: T) => Promise<unknown>): T {
  cleanups.push(() => end(value));
  return value;
}
