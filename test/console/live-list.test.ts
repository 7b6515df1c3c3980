import type { Change, Job } from "@ai-job-server/sdk/client";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LiveList } from "../../console/src/jobs/live-list.ts";
import { NO_METRICS } from "./no-metrics.ts";

/** The list of jobs while it changes: nothing in it moves until it is brought up to date. */

/** A job that was submitted at a second. */
function job(second: number, version = 1, more: Partial<Job> = {}): Job {
  const at = new Date(second * 1000).toISOString();
  return {
    id: `id-${second}`,
    jobId: `job-${String(second).padStart(6, "0")}`,
    workspaceId: "w",
    traceId: "t",
    jobKind: "DOC_EDIT",
    protocolId: "p",
    state: "QUEUED",
    statusReason: "queued",
    errorMessage: null,
    waitsFor: null,
    userInputRequest: null,
    progress: null,
    labels: [],
    priority: 0,
    attempt: 0,
    maxAttempts: 3,
    runAfter: null,
    tokenBudget: null,
    costMicros: 0,
    costBudgetMicros: null,
    metrics: NO_METRICS,
    idempotencyKey: null,
    submittedBy: "anonymous",
    version,
    createdAt: at,
    updatedAt: at,
    startedAt: null,
    endedAt: null,
    ...more,
  };
}

function change(of: Job, matchesFilter = true): Change {
  const { version, state } = of;
  return { kind: "EVENT", cursor: "c", version, state, previousState: null, matchesFilter, job: of };
}

const secondsOf = (list: LiveList) => list.view.jobs.map(({ createdAt }) => Date.parse(createdAt) / 1000);

describe("a list, newest first", () => {
  const listOf = (...seconds: number[]) => {
    const list = new LiveList(true);
    list.append(seconds.map((second) => job(second)));
    return list;
  };

  test("shows a change where the job stands", () => {
    const list = listOf(3, 2, 1);
    list.take(change(job(2, 2, { state: "RUNNING" })));
    expect(list.view.jobs.map(({ state }) => state)).toEqual(["QUEUED", "RUNNING", "QUEUED"]);
    expect(list.view.waiting).toBe(0);
  });

  test("an older change that comes later says nothing new", () => {
    const list = listOf(1);
    list.take(change(job(1, 3, { state: "COMPLETED" })));
    list.take(change(job(1, 2, { state: "RUNNING" })));
    expect(list.view.jobs[0]?.state).toBe("COMPLETED");
  });

  test("a new job waits, and then stands on top", () => {
    const list = listOf(2, 1);
    list.take(change(job(4)));
    list.take(change(job(3)));
    expect([secondsOf(list), list.view.waiting]).toEqual([[2, 1], 2]);
    list.settle();
    expect([secondsOf(list), list.view.waiting]).toEqual([[4, 3, 2, 1], 0]);
  });

  test("a job that matches no more stays, marked, until then", () => {
    const list = listOf(2, 1);
    list.take(change(job(2, 2), false));
    expect([secondsOf(list), [...list.view.gone]]).toEqual([[2, 1], ["job-000002"]]);
    list.settle();
    expect(secondsOf(list)).toEqual([1]);
  });

  test("one that matches again is not gone", () => {
    const list = listOf(1);
    list.take(change(job(1, 2), false));
    list.take(change(job(1, 3)));
    list.settle();
    expect(secondsOf(list)).toEqual([1]);
  });

  test("one that came and went never was there", () => {
    const list = listOf(1);
    list.take(change(job(2)));
    list.take(change(job(2, 2), false));
    expect(list.view.waiting).toBe(0);
  });

  test("a change of a job on a page that was not read yet is not taken for a new one", () => {
    const list = listOf(5, 4);
    list.take(change(job(1, 2)));
    expect(list.view.waiting).toBe(0);
    list.append([job(3), job(2), job(1, 2)]);
    expect(secondsOf(list)).toEqual([5, 4, 3, 2, 1]);
  });

  test("a page that overlaps adds nothing twice", () => {
    const list = listOf(3, 2);
    list.append([job(2, 2, { state: "FAILED" }), job(1)]);
    expect(secondsOf(list)).toEqual([3, 2, 1]);
    expect(list.view.jobs[1]?.state).toBe("FAILED");
  });

  test("it is full when so much has come on top that it should be read again", () => {
    const list = listOf(1);
    for (let second = 2; second < 700; second += 1) list.take(change(job(second)));
    expect(list.isFull).toBe(false);
    list.settle();
    expect(list.isFull).toBe(true);
  });
});

test("in another order, nothing comes on top by itself", () => {
  const list = new LiveList(false);
  list.append([job(1), job(2)]);
  list.take(change(job(9)));
  expect(list.view.waiting).toBe(0);
});

test("whatever comes in whatever order, it is in the end what a look at the jobs would show", () => {
  const changes = fc.array(
    fc.record({ second: fc.integer({ min: 1, max: 12 }), matches: fc.boolean(), settles: fc.boolean() }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(changes, (steps) => {
      const list = new LiveList(true);
      list.append([]);
      const versions = new Map<number, number>();
      const matching = new Set<number>();
      for (const { second, matches, settles } of steps) {
        const isNew = !versions.has(second);
        // Jobs are submitted in their order: one that is older than all that were seen is on no page yet.
        if (isNew && second < Math.max(0, ...versions.keys())) continue;
        versions.set(second, (versions.get(second) ?? 0) + 1);
        // It may match again later only while the list still has it.
        if (!matches) matching.delete(second);
        else if (isNew || matching.has(second)) matching.add(second);
        else continue;
        list.take(change(job(second, versions.get(second)), matches));
        if (settles) list.settle();
      }
      list.settle();
      expect(secondsOf(list)).toEqual([...matching].toSorted((one, other) => other - one));
    }),
  );
});

test("a change of a list of 100,000 jobs costs no more than of a short one, and to draw it a few milliseconds", () => {
  const list = new LiveList(true);
  const last = 100_000;
  for (let second = last; second > 0; second -= 1000)
    list.append(Array.from({ length: 1000 }, (_, index) => job(second - index)));
  const startedAt = performance.now();
  for (let second = 1; second <= 1000; second += 1) list.take(change(job(second * 100, 2, { state: "RUNNING" })));
  const msForChanges = performance.now() - startedAt;
  list.take(change(job(last + 1)));
  const settledAt = performance.now();
  list.settle();
  const { jobs } = list.view;
  const msToSettle = performance.now() - settledAt;
  expect([jobs.length, jobs.filter(({ state }) => state === "RUNNING").length]).toEqual([100_001, 1000]);
  // Far more than it takes: a look through the list for each change would take minutes.
  expect(msForChanges).toBeLessThan(1000);
  expect(msToSettle).toBeLessThan(1000);
});
