import { expect, test } from "vitest";
import type { JobState } from "../../src/db/generated/client/enums.ts";
import { type PageRow, toPage } from "../../src/output/page.ts";
import { decodeOutputCursor, END, encodeOutputCursor, OUTPUT_START } from "../../src/output/position.ts";

const row = (state: JobState, attempt: number | null, sequence: number | null = null, text: string | null = null) =>
  ({ workspaceId: "w", state, attempt, sequence, text }) satisfies PageRow;
const chunk = (attempt: number, sequence: number, state: JobState = "RUNNING") => row(state, attempt, sequence, "text");
const end = (attempt: number, state: JobState = "RUNNING") => row(state, attempt, END, "");
const shown = (page: ReturnType<typeof toPage>) =>
  page?.entries.map(({ attempt, sequence, isLast }) => `${attempt}.${sequence}${isLast ? " end" : ""}`);

test("there is no page of a job that is not there", () => {
  expect(toPage([], OUTPUT_START)).toBeUndefined();
});

test("a job without output has an empty page, which is the last one where it has ended", () => {
  expect(toPage([row("QUEUED", null)], OUTPUT_START)).toEqual({ entries: [], hasMore: false, isLast: false });
  for (const state of ["CANCELLED", "FAILED", "POISONED", "COMPLETED", "COMPLETED_WITH_ISSUES"] as const)
    expect(toPage([row(state, null)], OUTPUT_START)).toMatchObject({ entries: [], isLast: true });
});

test("chunks and ends are in the order of attempts and sequences", () => {
  const rows = [chunk(2, 1), chunk(1, 2), end(1), chunk(1, 1)];
  expect(shown(toPage(rows, OUTPUT_START))).toEqual(["1.1", "1.2", "1.3 end", "2.1"]);
});

test("an end has the number behind the last chunk that is known, and is told once", () => {
  expect(shown(toPage([end(1)], OUTPUT_START))).toEqual(["1.1 end"]);
  expect(shown(toPage([end(1)], { attempt: 1, sequence: 7 }))).toEqual(["1.8 end"]);
  expect(shown(toPage([end(1), end(2)], { attempt: 1, sequence: END }))).toEqual(["2.1 end"]);
});

test("a page that is full goes no further than all that it has of both", () => {
  const chunks = Array.from({ length: 64 }, (_, at) => chunk(1, at + 1, "COMPLETED"));
  const page = toPage([...chunks, end(1, "COMPLETED")], OUTPUT_START);
  expect(page).toMatchObject({ hasMore: true, isLast: false });
  expect(shown(page)?.at(-1)).toBe("1.64");
  const ends = Array.from({ length: 100 }, (_, at) => end(at + 1));
  expect(shown(toPage([...ends, chunk(101, 1)], OUTPUT_START))?.at(-1)).toBe("100.1 end");
});

test("a cursor says what was put into it, and nothing else is one", () => {
  const [epoch, jobId] = ["6f1c2b34-9a5d-4e0f-8c71-2d3e4f5a6b7c", "01a21c28-7e0b-75fc-802a-c8f31390378c"];
  const cursor = { epoch, jobId, position: { attempt: 3, sequence: END } };
  const encoded = encodeOutputCursor(cursor);
  expect(decodeOutputCursor(encoded)).toEqual(cursor);
  const of = (text: string) => decodeOutputCursor(Buffer.from(text).toString("base64url"));
  for (const text of [
    `1 ${epoch} ${jobId} 1 1`,
    `o1 ${epoch} ${jobId} 1 -1`,
    `o1 ${epoch} ${jobId} 1 2147483648`,
    `o1 ${epoch} ${jobId} 01 1`,
    `o1 ${epoch} ${jobId.toUpperCase()} 1 1`,
    `o1 ${epoch} ${jobId} 1 1 1`,
    `o1 ${epoch} ${jobId} 1`,
    "",
  ])
    expect(of(text)).toBeUndefined();
  expect(decodeOutputCursor(`${encoded}=`)).toBeUndefined();
});
