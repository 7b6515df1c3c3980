import { describe, expect, test } from "vitest";
import { afterFailure } from "../../src/runs/backoff.ts";
import { BACKOFF } from "../support/engine.ts";

const now = new Date("2031-05-06T07:08:09.123Z");
const failure = { retryable: true, reason: "failed_by_worker" };

function waits(attempt: number, jitter?: number): number {
  const { runAfter } = afterFailure(
    { attempt, maxAttempts: 1000, unchargedAttempts: 0, now },
    failure,
    BACKOFF,
    jitter,
  );
  return (runAfter?.getTime() ?? 0) - now.getTime();
}

describe("a job whose run failed", () => {
  test.each([
    [1, 5_000],
    [2, 10_000],
    [3, 20_000],
    [7, 320_000],
    [8, 640_000],
    [9, 900_000],
    [10, 900_000],
    [999, 900_000],
  ])("for the %i. time waits twice as long as before, up to 15 minutes: at most %i ms", (attempt, max) => {
    expect(waits(attempt, 1)).toBe(max);
    expect(waits(attempt, 0)).toBe(max / 2);
    expect(waits(attempt, 0.5)).toBe(max * 0.75);
  });

  test.each([
    ["later than the wait", 3_600_000, 3_600_000],
    ["earlier", 1, 5_000],
    ["that has passed", -1, 5_000],
  ])("waits until a time that its worker gives: %s", (_, ahead, waited) => {
    const notBefore = new Date(now.getTime() + ahead);
    const job = { attempt: 1, maxAttempts: 1000, unchargedAttempts: 0, now };
    const { runAfter } = afterFailure(job, { ...failure, notBefore }, BACKOFF, 1);
    expect((runAfter?.getTime() ?? 0) - now.getTime()).toBe(waited);
  });

  test("waits a time of its own: jobs that failed together are spread over half of it", () => {
    const times = Array.from({ length: 200 }, () => waits(1));
    for (const time of times) {
      expect(time).toBeGreaterThanOrEqual(2500);
      expect(time).toBeLessThanOrEqual(5000);
    }
    expect(new Set(times).size).toBeGreaterThan(100);
  });

  test.each([
    ["is queued again while attempts are left", { attempt: 2, maxAttempts: 3 }, true, "QUEUED", "retry_scheduled"],
    ["has failed when none is left", { attempt: 3, maxAttempts: 3 }, true, "FAILED", "failed_by_worker"],
    [
      "has failed when more were used than there are",
      { attempt: 4, maxAttempts: 3 },
      true,
      "FAILED",
      "failed_by_worker",
    ],
    ["has failed where it is not worth another", { attempt: 1, maxAttempts: 3 }, false, "FAILED", "failed_by_worker"],
    [
      "is queued again while attempts are left, those that were sent back not counted",
      { attempt: 3, maxAttempts: 2, unchargedAttempts: 2 },
      true,
      "QUEUED",
      "retry_scheduled",
    ],
    ["has failed where it has one attempt only", { attempt: 1, maxAttempts: 1 }, true, "FAILED", "failed_by_worker"],
  ] as const)("%s", (_, attempts, retryable, state, statusReason) => {
    const next = afterFailure(
      { unchargedAttempts: 0, ...attempts, now },
      { retryable, reason: "failed_by_worker" },
      BACKOFF,
    );
    expect(next).toMatchObject({ state, statusReason, completedAt: null });
    expect(next.runAfter !== undefined).toBe(state === "QUEUED");
  });
});
