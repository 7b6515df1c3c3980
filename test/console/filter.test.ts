import { describe, expect, test } from "vitest";
import { labelIn, readQuery, searchFor } from "../../console/src/jobs/filter.ts";

/** What a list is of, as it stands in the address. Anybody can write one. */

const ID = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
const read = (address: string) => readQuery(new URLSearchParams(address));

test("an empty address is all jobs, newest first", () => {
  expect(read("")).toEqual({ filter: {}, order: "newest" });
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

  test("a label may have an empty value", () => {
    expect(labelIn("team=")).toEqual({ key: "team", value: "" });
  });
});
