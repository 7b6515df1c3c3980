import { expect, test } from "vitest";
import type { JobSpending } from "../../src/db/metrics.ts";
import { InvalidInputError } from "../../src/errors.ts";
import { addMetrics, countGuards, isZero, type MetricsDelta, NO_METRICS } from "../../src/jobs/metrics.ts";

const MAX = BigInt(Number.MAX_SAFE_INTEGER);

const zero: JobSpending = {
  durationMs: 0n,
  totalTokens: 0n,
  inputTokens: 0n,
  outputTokens: 0n,
  tokensPlanner: 0n,
  tokensExecutor: 0n,
  entitiesRead: 0n,
  entitiesWritten: 0n,
  validatorsRunCount: 0n,
  costMicros: 0n,
};

function delta(more: Partial<MetricsDelta>): MetricsDelta {
  return { ...NO_METRICS, ...more };
}

test("each counter grows by its delta, and the total is the sum of input and output", () => {
  const before: JobSpending = { ...zero, inputTokens: 5n, outputTokens: 2n, totalTokens: 7n, durationMs: 10n };
  const after = addMetrics(before, delta({ inputTokens: 3, outputTokens: 4, tokensPlanner: 14, durationMs: 1 }), []);
  expect(after).toEqual({
    ...zero,
    inputTokens: 8n,
    outputTokens: 6n,
    totalTokens: 14n,
    tokensPlanner: 14n,
    durationMs: 11n,
  });
});

test("a counter may reach 2^53 - 1", () => {
  expect(addMetrics(zero, delta({ durationMs: Number.MAX_SAFE_INTEGER }), [])).toMatchObject({ durationMs: MAX });
});

test.each([
  ["durationMs", { ...zero, durationMs: MAX }, delta({ durationMs: 1 })],
  ["totalTokens", { ...zero, inputTokens: MAX, totalTokens: MAX }, delta({ outputTokens: 1 })],
  ["validatorsRunCount", { ...zero, validatorsRunCount: MAX }, delta({ validatorsRunCount: 1 })],
] as const)("a delta that takes %s past 2^53 - 1 is refused as a whole", (name, before, more) => {
  const refusal = addMetrics(before, more, ["input", "metrics"]);
  expect(refusal).toBeInstanceOf(InvalidInputError);
  expect(refusal).toMatchObject({ inputPath: ["input", "metrics", name] });
});

const counters = [
  "durationMs",
  "inputTokens",
  "outputTokens",
  "entitiesRead",
  "entitiesWritten",
  "validatorsRunCount",
] as const;

test.each(counters)("%s counts by itself, up to 2^53 - 1 and no further", (name) => {
  const full = addMetrics(zero, delta({ [name]: Number.MAX_SAFE_INTEGER }), []);
  if (full instanceof Error) throw full;
  expect(full[name]).toBe(MAX);
  expect(addMetrics(full, NO_METRICS, [])).toEqual(full);
  expect(addMetrics(full, delta({ [name]: 1 }), [])).toMatchObject({ code: "INVALID_INPUT" });
});

test.each(["tokensPlanner", "tokensExecutor"] as const)("%s counts by itself, up to the total", (name) => {
  const before: JobSpending = { ...zero, inputTokens: 2n, outputTokens: 3n, totalTokens: 5n };
  expect(addMetrics(before, delta({ [name]: 5 }), [])).toEqual({ ...before, [name]: 5n });
  expect(addMetrics(before, delta({ [name]: 6 }), [])).toMatchObject({ code: "INVALID_INPUT" });
});

test("planner and executor tokens cannot exceed the total", () => {
  const refusal = addMetrics(zero, delta({ inputTokens: 9, tokensPlanner: 5, tokensExecutor: 5 }), ["metrics"]);
  expect(refusal).toMatchObject({ code: "INVALID_INPUT", inputPath: ["metrics", "tokensPlanner"] });
  expect(addMetrics(zero, delta({ inputTokens: 10, tokensPlanner: 5, tokensExecutor: 5 }), [])).not.toBeInstanceOf(
    Error,
  );
});

test("a report is empty only where every counter is zero", () => {
  expect(isZero(NO_METRICS)).toBe(true);
  expect(isZero(delta({ entitiesRead: 1 }))).toBe(false);
});

test("the guards are counted up to the largest count, and never beyond: a huge report cannot block a poisoning", () => {
  expect(countGuards({ ...zero, validatorsRunCount: 4n }, 2)).toEqual({ validatorsRunCount: 6n });
  expect(countGuards({ ...zero, validatorsRunCount: MAX }, 2)).toEqual({ validatorsRunCount: MAX });
});
