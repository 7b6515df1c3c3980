import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { z } from "zod";
import type { ReadsById } from "../../src/graphql/reads.ts";
import { SharedReads } from "../../src/graphql/shared-reads.ts";
import { bytesOf } from "../../src/value-bytes.ts";

/** What the subscribers of a batch of events share: remembered for three seconds, and never more of it than its bound in bytes. */

const MB = 1024 * 1024;
const MAX_BYTES = 8 * MB;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

let statements = 0;
/** A server's reads, of which each has a row with a text of this many characters. */
function sharedReads(length: number): SharedReads {
  statements = 0;
  const read = (id: object) => {
    statements += 1;
    return Promise.resolve([{ ...id, text: "x".repeat(length) }]);
  };
  const reads = z.custom<ReadsById>().parse({ job: read, nodesOfRun: read });
  return new SharedReads(reads, MAX_BYTES);
}

const batch = (number: number) => ({ eventsReadBefore: number, jobs: [] });
const id = (number: number) => ({ workspaceId: "w", id: String(number) });

test("reads of many batches, each of many jobs, stay below the bound; what is forgotten is read again", async () => {
  const shared = sharedReads(100_000);
  const batches = Array.from({ length: 20 }, (_, number) => batch(number));
  for (const one of batches) {
    for (let number = 0; number < 20; number++) {
      await shared.of(one).job(id(number), ["state"]);
      await shared.of(one).nodesOfRun(id(number), { withPayloads: true });
      expect(shared.bytes).toBeLessThanOrEqual(MAX_BYTES);
    }
  }
  expect(statements).toBe(800);
  expect(shared.bytes).toBeGreaterThan(MAX_BYTES / 2);
  const [first = batch(0)] = batches;
  const last = batches.at(-1) ?? first;
  await shared.of(last).job(id(19), ["state"]);
  expect(statements).toBe(800);
  await shared.of(first).job(id(0), ["state"]);
  expect(statements).toBe(801);
});

test("a row that is larger than the bound is given, and not remembered", async () => {
  const shared = sharedReads(MAX_BYTES);
  const one = batch(0);
  expect(await shared.of(one).job(id(1), [])).toMatchObject([{ id: "1" }]);
  expect(shared.bytes).toBe(0);
  await shared.of(one).job(id(1), []);
  expect(statements).toBe(2);
});

test("after three seconds nothing is kept, though a subscriber still holds the reads of its last event", async () => {
  const shared = sharedReads(1_000);
  const reads = shared.of(batch(0));
  await reads.job(id(1), []);
  expect(shared.bytes).toBeGreaterThan(2_000);
  vi.advanceTimersByTime(3_000);
  expect(shared.bytes).toBe(0);
  await reads.job(id(1), []);
  await Promise.resolve();
  expect(shared.bytes).toBe(0);
});

test("the bytes of a value are at least those of its texts, and walking over a deep or a wide one does not fail", () => {
  expect(bytesOf({ a: "x".repeat(1_000), b: ["y".repeat(500), new Date(), null, 1n] })).toBeGreaterThan(3_000);
  expect(bytesOf(Buffer.alloc(5_000))).toBeGreaterThan(5_000);
  let deep: unknown = "end";
  for (let level = 0; level < 100_000; level++) deep = [deep];
  expect(bytesOf(deep)).toBeGreaterThan(1_000_000);
  expect(bytesOf(Array(500_000).fill(1))).toBeGreaterThan(5_000_000);
});
