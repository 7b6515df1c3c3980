import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { comparePositions, decodeCursor, encodeCursor } from "../../src/recorder/cursor.ts";

const epoch = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
const jobId = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5c";
const position = { orderXid: 9_007_199_254_740_993n, jobId, version: 7 };

test("a cursor comes back as the place that it names, transaction ids beyond 2^53 included", () => {
  expect(decodeCursor(encodeCursor(epoch, position))).toEqual({ epoch, position });
});

test.each([
  ["nothing", ""],
  ["not a cursor", "hello"],
  ["another format", Buffer.from(`2 ${epoch} 1 ${jobId} 1`).toString("base64url")],
  ["a part too few", Buffer.from(`1 ${epoch} 1 ${jobId}`).toString("base64url")],
  ["a part too many", Buffer.from(`1 ${epoch} 1 ${jobId} 1 1`).toString("base64url")],
  ["a negative id", Buffer.from(`1 ${epoch} -1 ${jobId} 1`).toString("base64url")],
  ["an id that no bigint column holds", Buffer.from(`1 ${epoch} ${"9".repeat(19)} ${jobId} 1`).toString("base64url")],
  ["SQL", Buffer.from(`1 ${epoch} 1 ${jobId} 1;DROP`).toString("base64url")],
  ["a cursor with more behind it", `${encodeCursor(epoch, position)}!!`],
  ["a cursor with a space in it", encodeCursor(epoch, position).replace(/^(.{9})/, "$1 ")],
  ["a number with a zero before it", Buffer.from(`1 ${epoch} 01 ${jobId} 1`).toString("base64url")],
  ["an epoch that is no UUID", Buffer.from(`1 x 1 ${jobId} 1`).toString("base64url")],
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
