import { describe, expect, test } from "vitest";
import { endOfId, labelIn, readQuery, searchFor } from "../../console/src/jobs/filter.ts";

/** What a list is of, as it stands in the address. Anybody can write one. */

const ID = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
const read = (address: string) => readQuery(new URLSearchParams(address));

test("an empty address is all jobs, newest first", () => {
  expect(read("")).toEqual({ filter: {}, order: "newest" });
});

test("a period by its name is counted from when the address is opened; times of its own go before", () => {
  const at = new Date(2026, 10, 30, 12, 30, 40);
  const day = (date: number) => new Date(2026, 10, date).toISOString();
  const timesOf = (address: string) => readQuery(new URLSearchParams(address), at).filter;
  expect(timesOf("period=today")).toEqual({ createdAfter: day(30), createdBefore: day(31) });
  expect(timesOf("period=yesterday")).toEqual({ createdAfter: day(29), createdBefore: day(30) });
  expect(timesOf("period=hour").createdAfter).toBe(new Date(2026, 10, 30, 11, 30).toISOString());
  expect(timesOf("period=week").createdAfter).toBe(new Date(2026, 10, 23, 12, 30).toISOString());
  expect(timesOf("period=week").createdBefore).toBe(day(32));
  expect(timesOf("period=ever")).toEqual({});
  expect(timesOf("period=today&from=2026-01-01T00:00:00Z")).toEqual({ createdAfter: "2026-01-01T00:00:00Z" });
});

test("every condition has its place", () => {
  const address =
    `state=RUNNING&state=FAILED&kind=DOC_EDIT&label=team%3Dlegal&label=a%3Db%3Dc&protocol=p&by=key%3A1&worker=w&key=k` +
    `&trace=${ID}&parent=${ID}&root=${ID}&from=2026-11-30T00:00:00Z&until=2026-12-01T00:00:00Z&order=costliest`;
  expect(read(address)).toEqual({
    filter: {
      states: ["RUNNING", "FAILED"],
      kinds: ["DOC_EDIT"],
      labels: [
        { key: "team", value: "legal" },
        { key: "a", value: "b=c" },
      ],
      protocolId: "p",
      submittedBy: "key:1",
      workerId: "w",
      idempotencyKey: "k",
      traceId: ID,
      parentJobId: ID,
      rootJobId: ID,
      createdAfter: "2026-11-30T00:00:00Z",
      createdBefore: "2026-12-01T00:00:00Z",
    },
    order: "costliest",
  });
});

test.each([
  "state=NONE",
  "kind=running",
  "label=",
  "label==x",
  "trace=12",
  "from=yesterday",
  "order=random",
  "worker=",
])("what is no condition is left out: %s", (address) => {
  expect(read(address)).toEqual({ filter: {}, order: "newest" });
});

describe("what somebody types", () => {
  test.each([
    [ID, ["trace", ID]],
    ["team=legal", ["label", "team=legal"]],
    ["invoice-import", ["protocol", "invoice-import"]],
    ["=x", ["protocol", "=x"]],
  ])("%s", (term, condition) => {
    expect(searchFor(term)).toEqual(condition);
  });

  test.each([
    ["adc50748", "adc50748"],
    ["…ADC50748", "adc50748"],
    ["adc5074", null],
    ["invoices", null],
    [ID, null],
  ])("%s as the end of an id", (term, end) => {
    expect(endOfId(term)).toBe(end);
  });

  test("a label may have an empty value", () => {
    expect(labelIn("team=")).toEqual({ key: "team", value: "" });
  });
});
