import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { comparePositions, decodeCursor, encodeCursor } from "../../src/log/cursor.ts";

const epoch = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
const jobId = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5c";
const hash = "0123456789abcdef";
const position = { orderXid: 9_007_199_254_740_993n, jobId, version: 7, hash };

test("a cursor comes back as the place that it names, transaction ids beyond 2^53 included", () => {
  expect(decodeCursor(encodeCursor(epoch, position))).toEqual({ epoch, position });
});

/** Places of so many jobs. */
const places = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    orderXid: BigInt(index) + 999_999_999_999_999_000n,
    jobId: `018f3c4e-7b1a-7cc3-9a55-${String(index).padStart(12, "0")}`,
    version: index + 999_999_000,
    hash: String(index).padStart(16, "f"),
  }));

test.each([1, 2, 100])("a cursor that holds %i places beyond its own comes back with them, and is short", (count) => {
  const held = places(count);
  const cursor = encodeCursor(epoch, position, held);
  expect(decodeCursor(cursor)).toEqual({ epoch, position, snapshotPositions: held });
  expect(cursor.length).toBeLessThan(5000);
});

test.each([
  ["nothing", ""],
  ["a cursor that holds more places than there are snapshots", encodeCursor(epoch, position, places(101))],
  ["a cursor whose last place is cut off", encodeCursor(epoch, position, places(2)).slice(0, -4)],
  ["a cursor that holds none, and says so", `${encodeCursor(epoch, position)}.`],
  ["a cursor that holds places twice", `${encodeCursor(epoch, position, places(1))}.AAAA`],
  ["not a cursor", "hello"],
  ["another format", Buffer.from(`2 ${epoch} 1 ${jobId} 1 ${hash}`).toString("base64url")],
  ["a part too few", Buffer.from(`1 ${epoch} 1 ${jobId} 1`).toString("base64url")],
  ["a part too many", Buffer.from(`1 ${epoch} 1 ${jobId} 1 ${hash} 1`).toString("base64url")],
  ["a negative id", Buffer.from(`1 ${epoch} -1 ${jobId} 1 ${hash}`).toString("base64url")],
  [
    "an id that no bigint column holds",
    Buffer.from(`1 ${epoch} ${"9".repeat(19)} ${jobId} 1 ${hash}`).toString("base64url"),
  ],
  ["SQL", Buffer.from(`1 ${epoch} 1 ${jobId} 1;DROP ${hash}`).toString("base64url")],
  ["a cursor with more behind it", `${encodeCursor(epoch, position)}!!`],
  ["a cursor with a space in it", encodeCursor(epoch, position).replace(/^(.{9})/, "$1 ")],
  ["a number with a zero before it", Buffer.from(`1 ${epoch} 01 ${jobId} 1 ${hash}`).toString("base64url")],
  ["a hash that is none", Buffer.from(`1 ${epoch} 1 ${jobId} 1 ${hash.toUpperCase()}`).toString("base64url")],
  ["a hash that is too short", Buffer.from(`1 ${epoch} 1 ${jobId} 1 0123`).toString("base64url")],
  ["an event without its hash", Buffer.from(`1 ${epoch} 1 ${jobId} 1 `).toString("base64url")],
  ["an epoch that is no UUID", Buffer.from(`1 x 1 ${jobId} 1 ${hash}`).toString("base64url")],
])("%s is no cursor", (_what, cursor) => {
  expect(decodeCursor(cursor)).toBeUndefined();
});

test("places are ordered by transaction, then job, then version", () => {
  const later = randomUUID().replace(/^../, "ff");
  const ordered = [
    { orderXid: 1n, jobId: later, version: 9 },
    { orderXid: 2n, jobId, version: 8 },
    { orderXid: 2n, jobId, version: 10 },
    { orderXid: 2n, jobId: later, version: 1 },
    { orderXid: 10n, jobId, version: 1 },
  ];
  expect(ordered.toReversed().toSorted(comparePositions)).toEqual(ordered);
  expect(comparePositions(position, position)).toBe(0);
});
