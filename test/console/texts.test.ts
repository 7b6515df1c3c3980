import { JobServerError } from "@ai-job-server/sdk/client";
import { describe, expect, test } from "vitest";
import { faultsOf } from "../../console/src/api/errors.ts";
import { failedSteps } from "../../console/src/job/failed-steps.ts";
import { faultyText } from "../../console/src/submit/draft.ts";
import { labelsIn, refLine, refsIn } from "../../console/src/submit/lines.ts";
import { healthIn } from "../../console/src/system/health.ts";
import { microsIn, typedAmount, wholeIn } from "../../console/src/ui/numbers.ts";
import { csvOf } from "../../console/src/usage/csv.ts";
import { boundsOf, presetDays, readAsked, timesOf, variablesOf } from "../../console/src/usage/query.ts";
import { usageLines } from "../../console/src/usage/usage-csv.ts";
import { NO_METRICS } from "./no-metrics.ts";

/** What the console reads of what people type, and what it writes for others. */

describe("a table for spreadsheets", () => {
  test("quotes what needs it", () => {
    expect(csvOf([["a", 'b "c"', "d,e", " f", "g\nh", ""]])).toBe('a,"b ""c""","d,e"," f","g\nh",\r\n');
  });

  test.each(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])("lets no cell be calculated: %j", (cell) => {
    expect(csvOf([[cell]])).toContain(`'${cell}`);
  });
});

const EMPTY_ROW = {
  from: "2026-11-30T00:00:00.000Z",
  jobKind: null,
  state: null,
  protocolId: null,
  provider: null,
  model: null,
  label: null,
  jobs: 0,
  costMicros: 0,
  metrics: NO_METRICS,
} as const;

test("usage for a spreadsheet has the cost in the currency, too", () => {
  const metrics = { inputTokens: 1000, outputTokens: 20, totalTokens: 1020 };
  const row = { ...EMPTY_ROW, jobs: 2, costMicros: 268, metrics: { ...NO_METRICS, ...metrics } };
  const lines = usageLines([{ ...row, provider: "openai", model: "large" }], "MODEL", "Model", "USD");
  expect(lines).toEqual([
    ["from", "Model", "jobs", "inputTokens", "outputTokens", "totalTokens", "costMicros", "cost", "currency"],
    ["2026-11-30T00:00:00.000Z", "openai large", "2", "1000", "20", "1020", "268", "0.000268", "USD"],
  ]);
});

describe("which step has failed", () => {
  const done = { nodeId: "plan", state: "COMPLETED" };

  test("is said, and also that none has", () => {
    expect(failedSteps("FAILED", [done, { nodeId: "send", state: "FAILED" }])).toBe("Failed at send.");
    expect(failedSteps("FAILED", [done])).toMatch(/^None of the steps/);
  });

  test("is not said of a run that has not failed, or has no steps", () => {
    expect(failedSteps("RUNNING", [done])).toBe(null);
    expect(failedSteps("FAILED", [])).toBe(null);
  });
});

describe("an amount", () => {
  test.each([
    ["1", 1_000_000],
    ["0.5", 500_000],
    ["0,000001", 1],
    ["12.345678", 12_345_678],
    ["1.2345678", null],
    ["-1", null],
    ["1e3", null],
    ["", null],
    ["9007199255", null],
  ])("%j is %s millionths", (text, micros) => {
    expect(microsIn(text)).toBe(micros);
  });

  test.each([0, 1, 500_000, 12_345_678, Number.MAX_SAFE_INTEGER])("%s is typed, and read, the same", (micros) => {
    expect(microsIn(typedAmount(micros))).toBe(micros);
  });

  test("a whole number is kept exactly, or is none", () => {
    expect(["1,000,000", "1 000 000", "1'000", "1,00", ",1"].map(wholeIn)).toEqual([
      1_000_000,
      1_000_000,
      1000,
      null,
      null,
    ]);
    expect([wholeIn("9007199254740991"), wholeIn("9007199254740992"), wholeIn("1.5"), wholeIn("x")]).toEqual([
      Number.MAX_SAFE_INTEGER,
      null,
      null,
      null,
    ]);
  });
});

describe("a form with faults", () => {
  test("names the fields, in the order in which they stand", () => {
    expect(faultyText(["priority", "jobInputs"])).toBe("Not submitted. Look at “Inputs”, “Priority”.");
  });

  test("says nothing of what has no field: that has words of its own", () => {
    expect(faultyText(["jobInputs", "accessMode"])).toBe(null);
    expect(faultyText([])).toBe(null);
  });
});

describe("lists that are typed", () => {
  test("labels, and the lines that are none", () => {
    expect(labelsIn("team=legal\n\n a = b=c \nnone\n=x")).toEqual({
      labels: [
        { key: "team", value: "legal" },
        { key: "a", value: "b=c" },
      ],
      wrong: ["none", "=x"],
    });
  });

  test.each([
    { entityKind: "file", entityId: "a.txt", selector: null },
    { entityKind: "a file", entityId: 'with "quotes"', selector: "lines 1 to 3" },
    { entityKind: "file", entityId: "\\", selector: "two\nlines" },
  ])("an entity is typed, and read, the same: %j", (ref) => {
    const { selector, ...others } = ref;
    expect(refsIn(refLine(ref))).toEqual({ refs: [selector === null ? others : ref], wrong: [] });
  });

  test("a line with a kind alone is none", () => {
    expect(refsIn("file").wrong).toEqual(["file"]);
  });
});

describe("what is wrong with an input stands at its field", () => {
  test("each issue, with the place in it as people count", () => {
    const issues = [
      { path: ["input", "protocolId"], message: "is empty" },
      { path: ["input", "labels", "0", "key"], message: "is too long" },
    ];
    const error = new JobServerError("INVALID_INPUT", "All of it.", { issues });
    expect([...faultsOf(error)]).toEqual([
      ["protocolId", "is empty"],
      ["labels", "no. 1 key: is too long"],
    ]);
  });

  test("what is no refusal of an input has none", () => {
    expect(faultsOf(new Error("away")).size).toBe(0);
    expect(faultsOf(new JobServerError("TRY_AGAIN", "Try again.")).size).toBe(0);
  });
});

describe("the time of usage", () => {
  const now = new Date("2026-12-01T00:30:00Z");

  test("is the last seven days where an address says nothing that can be read", () => {
    const expected = { from: "2026-11-25", to: "2026-12-01", interval: "DAY", by: null, label: null, show: "cost" };
    expect(readAsked(new URLSearchParams("from=soon&to=2026-13-01&by=COLOUR&interval=YEAR"), now)).toEqual(expected);
  });

  test("has days whose last one is in it", () => {
    expect(presetDays("yesterday", now)).toEqual(["2026-11-30", "2026-11-30"]);
    expect(boundsOf({ from: "2026-11-30", to: "2026-11-30" })).toEqual({
      from: "2026-11-30T00:00:00.000Z",
      to: "2026-12-01T00:00:00.000Z",
    });
    const asked = readAsked(new URLSearchParams("from=2026-11-30&to=2026-11-30&interval=HOUR"), now);
    // The end of the last hour is no time of its own: what was used in it was not used after it.
    const times = timesOf(asked, now.getTime());
    expect(times.length).toBe(24);
    expect(times.at(-1)).toBe(Date.parse("2026-11-30T23:00:00Z"));
    // Of what is to come nobody knows that nothing is used.
    expect(timesOf(asked, Date.parse("2026-11-30T05:59:59Z")).at(-1)).toBe(Date.parse("2026-11-30T05:00:00Z"));
  });

  test("by a label asks for one that the workspace counts by", () => {
    const asked = readAsked(new URLSearchParams("by=LABEL"), now);
    expect(variablesOf(asked, [])).toBe(null);
    expect(variablesOf(asked, ["team"])).toMatchObject({ groupBy: ["LABEL"], labelKey: "team" });
  });
});

describe("a server's health", () => {
  const health = {
    status: "ok",
    database: { answers: true, milliseconds: 3 },
    feed: { subscribers: 2, lastReadMsAgo: 10, behindMs: 0 },
    log: { epoch: "e", beganAt: "2026-11-30T00:00:00Z", reason: "first" },
    sweeps: { lastMsAgo: 5 },
    signals: { kind: "postgres", connected: true, since: "2026-11-30T00:00:00Z" },
  };

  test("is read as it is said", () => {
    expect(healthIn(health)).toMatchObject({ status: "ok", feed: { subscribers: 2 }, lastSweepMsAgo: 5 });
  });

  test("of another version is read as far as it goes", () => {
    expect(healthIn({ status: "degraded", database: { milliseconds: 1 } })).toMatchObject({ log: null, signals: null });
  });

  test.each([null, "ok", [], {}, { status: "fine", database: { milliseconds: 1 } }])("is not made up: %j", (raw) => {
    expect(healthIn(raw)).toBe(null);
  });
});
