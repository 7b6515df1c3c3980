import { expect, test } from "vitest";
import { JobState } from "../../src/db/generated/client/enums.ts";
import { hasEnded } from "../../src/jobs/state.ts";
import { middleOf } from "../../src/totals/histogram.ts";
import { ENDED_STATES } from "../../src/totals/intervals.ts";

test("usage counts as ended the states that have", () => {
  expect(ENDED_STATES).toEqual(Object.values(JobState).filter(hasEnded));
});

test("the middles of buckets grow, by less than a tenth", () => {
  const middles = Array.from({ length: 400 }, (_, bucket) => middleOf(bucket));
  const steps = middles.slice(1).map((middle, bucket) => middle / (middles[bucket] ?? Number.NaN));
  expect(middles.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, bucket) => bucket));
  expect(Math.min(...steps)).toBeGreaterThan(1);
  expect(Math.max(...steps.slice(99))).toBeLessThan(1.1);
});
