import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createClaimer } from "../../src/claims/claim.ts";
import type { ClaimAiJobs, Claimed } from "../../src/claims/request.ts";
import { newRotation } from "../../src/engine.ts";
import type { AppError } from "../../src/errors.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { createBatchedReleases } from "../../src/runs/batched-release.ts";
import { COMPLETIONS } from "../../src/runs/complete.ts";
import { FAILURES } from "../../src/runs/fail.ts";
import type { ReportItem } from "../../src/runs/release.ts";
import { type ReleaseKind, releaseCall, type StoredReleases, storeTogether } from "../../src/runs/release-calls.ts";
import type { Report } from "../../src/runs/report.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started } from "../support/engine.ts";
import { withFaultAtLock } from "../support/faults.ts";
import { bringTo } from "../support/jobs.ts";
import { recordsOf } from "../support/records.ts";
import { aCompletion, aFailure, reportOutcome } from "../support/reports.ts";

/** Calls of several workers that share a transaction: each is answered as it would be alone. */

let database: TestDatabase;
let engine: ReturnType<typeof engineOn>;
/** Every test has a workspace of its own. */
let workspaceId: string;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
beforeEach(() => {
  engine = engineOn(database, { rotation: newRotation() });
  workspaceId = randomUUID();
});

const claimer = () => createClaimer(engine, () => undefined);

async function submit(count: number, more: Parameters<typeof aSubmit>[0] = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let at = 0; at < count; at++) {
    ids.push(ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more))).job.jobId);
  }
  return ids;
}

function asking(index: number, more: Partial<ClaimAiJobs> = {}): ClaimAiJobs {
  return { workerId: `worker-${index}`, leaseSeconds: 30, workspaceId, jobKinds: null, limit: 1, ...more };
}

/** Makes calls, and stores what they bring in one transaction. */
function together<Kind extends Report, Refusal extends AppError>(
  kind: ReleaseKind<Kind, Refusal>,
  calls: readonly (readonly Kind[])[],
) {
  const arrived: {
    readonly items: readonly ReportItem<Kind>[];
    readonly answer: (stored: Promise<StoredReleases<Kind, Refusal>>) => void;
  }[] = [];
  const store = (items: readonly ReportItem<Kind>[]) =>
    new Promise<StoredReleases<Kind, Refusal>>((answer, fail) => {
      arrived.push({ items, answer });
      if (arrived.length < calls.length) return;
      const all = arrived.map((call) => call.items);
      storeTogether(engine, kind, all).then((stored) => {
        for (const [at, each] of stored.entries()) arrived[at]?.answer(each);
      }, fail);
    });
  return Promise.allSettled(calls.map((reports) => releaseCall(engine, kind, reports, store)));
}

const idsOf = ({ claims }: Claimed) => claims.map(({ job }) => job.jobId);
/** Transactions that took jobs' rows: each does so in one statement. */
const locks = () => database.statements().filter((sql) => sql.includes("FOR NO KEY UPDATE")).length;

describe("claims", () => {
  test("of ten workers that come at once take ten jobs in two transactions, each its own", async () => {
    const jobIds = await submit(12);
    const { claim } = claimer();
    database.statements();
    const first = claim(asking(0));
    // The others come while it is under way.
    await new Promise(setImmediate);
    const claimed = await Promise.all([first, ...Array.from({ length: 9 }, (_, at) => claim(asking(at + 1)))]);
    expect(locks()).toBe(2);
    expect(claimed.map(({ claims }) => claims.length)).toEqual(Array.from({ length: 10 }, () => 1));
    expect(claimed.flatMap(idsOf).toSorted()).toEqual(jobIds.slice(0, 10).toSorted());
    expect(claimed.map(({ claims }) => claims[0]?.run.workerId)).toEqual(
      Array.from({ length: 10 }, (_, at) => `worker-${at}`),
    );
  });

  test("give each no more than it asked for, the most urgent first, for as long as it asked", async () => {
    const low = await submit(2);
    const [urgent = ""] = await submit(1, { priority: 9 });
    const { claim } = claimer();
    const [, one, two] = await Promise.all([
      claim(asking(0, { jobKinds: ["TERMINAL_EXEC"] })),
      claim(asking(1, { limit: 2, leaseSeconds: 60 })),
      claim(asking(2, { limit: 2, leaseSeconds: 90 })),
    ]);
    expect([...idsOf(one), ...idsOf(two)].toSorted()).toEqual([urgent, ...low].toSorted());
    expect(idsOf(one)[0]).toBe(urgent);
    const seconds = [one, two].map(({ claims }) =>
      claims.map(({ run }) => ((run.leaseExpiresAt?.getTime() ?? 0) - run.startedAt.getTime()) / 1000),
    );
    expect(new Set(seconds[0])).toEqual(new Set([60]));
    expect(new Set(seconds[1])).toEqual(new Set([90]));
  });

  test("of different kinds and workspaces get what each of them wants", async () => {
    const [edit] = await submit(1, { jobKind: "DOC_EDIT" });
    const [summary] = await submit(1);
    const { claim } = claimer();
    const claimed = await Promise.all([
      claim(asking(1, { jobKinds: ["DOC_EDIT"], limit: 5 })),
      claim(asking(2, { jobKinds: ["DOC_SUMMARIZE"], limit: 5 })),
      claim(asking(3, { workspaceId: randomUUID(), limit: 5 })),
    ]);
    expect(claimed.map(idsOf)).toEqual([[edit], [summary], []]);
  });

  test("leave to a worker what is kept for it, and nobody goes without who would have got something alone", async () => {
    const kept = await submit(2);
    const [free] = await submit(1);
    const forAMinute = { preferredWorkerId: "worker-1", preferredUntil: new Date(Date.now() + 60_000) };
    for (const jobId of kept) await bringTo(engine, jobId, "QUEUED", forAMinute);
    const { claim } = claimer();
    const claimed = await Promise.all([
      claim(asking(0, { jobKinds: ["DOC_EDIT"] })),
      claim(asking(1)),
      claim(asking(2)),
    ]);
    expect(kept).toContain(idsOf(claimed[1])[0]);
    expect(idsOf(claimed[2])).toEqual([free]);
  });

  test("that fail together are tried apart", async () => {
    const jobIds = await submit(2);
    const [first, second] = jobIds;
    const { claim } = claimer();
    // No run of a worker with such a name can be written.
    const claimed = await Promise.allSettled([
      claim(asking(0, { jobKinds: ["DOC_EDIT"] })),
      claim(asking(1)),
      claim(asking(2, { workerId: "\0" })),
    ]);
    expect(claimed.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    expect([first, second]).toContain(claimed[1].status === "fulfilled" ? idsOf(claimed[1].value)[0] : "");
  });
});

describe("completions", () => {
  test("of several workers are judged each by itself, in one transaction", async () => {
    const claims = [await started(engine), await started(engine), await started(engine), await started(engine)];
    const [one, two, three, four] = claims;
    if (!one || !two || !three || !four) throw new Error("There are four.");
    const { completeWorkflows: complete } = createBatchedReleases(engine);
    database.statements();
    const first = complete([aCompletion(one)]);
    await new Promise(setImmediate);
    const [, done, lost, writes] = await Promise.all([
      first,
      complete([aCompletion(two)]),
      complete([aCompletion(three, { leaseToken: two.leaseToken })]),
      complete([aCompletion(four, { metrics: { ...NO_METRICS, entitiesWritten: 1 } })]),
    ]);
    expect(locks()).toBeLessThanOrEqual(2);
    expect(done).toMatchObject([{ job: { state: "COMPLETED" } }]);
    expect(lost.map(reportOutcome)).toEqual(["LEASE_LOST STOP_LEASE_LOST"]);
    expect(writes.map(reportOutcome)).toEqual(["ACCESS_MODE_VIOLATION STOP_FAILED"]);
    const states = await Promise.all(claims.map(({ job }) => recordsOf(database.prisma, job.jobId)));
    expect(states.map(({ job }) => job.state)).toEqual(["COMPLETED", "COMPLETED", "RUNNING", "FAILED"]);
  });

  test("of one run that come at once count once: a repeated report gets the first one's answer", async () => {
    const held = await started(engine);
    const { completeWorkflows: complete } = createBatchedReleases(engine);
    const report = aCompletion(held, { reportId: randomUUID(), metrics: { ...NO_METRICS, inputTokens: 7 } });
    const answers = await Promise.all([complete([report]), complete([report]), complete([report])]);
    expect(answers.map(([answer]) => reportOutcome(answer))).toEqual(["done", "done", "done"]);
    const { job } = await recordsOf(database.prisma, held.job.jobId);
    expect(job).toMatchObject({ state: "COMPLETED", inputTokens: 7n, version: 3 });
    // Without an id the second one is another report, and comes too late.
    const other = await started(engine);
    const again = await Promise.all([complete([aCompletion(other)]), complete([aCompletion(other)])]);
    expect(again.map(([answer]) => reportOutcome(answer))).toEqual(["done", "ILLEGAL_TRANSITION STOP_LEASE_LOST"]);
  });

  test("of an unknown run, and with several runs of a call, are answered in their order", async () => {
    const claims = [await started(engine), await started(engine)];
    const { completeWorkflows: complete } = createBatchedReleases(engine);
    const unknown = claims.map((claim) => aCompletion(claim, { workflowRunId: randomUUID() }));
    const calls = claims.map((claim, at) => [unknown[at], aCompletion(claim)].flatMap((one) => one ?? []));
    const answers = await Promise.all(calls.map(complete));
    expect(answers.map((each) => each.map(reportOutcome))).toEqual([
      ["LEASE_LOST STOP_LEASE_LOST", "done"],
      ["LEASE_LOST STOP_LEASE_LOST", "done"],
    ]);
  });

  test("that could not be stored are told to try again one by one, where another of their call is stored", async () => {
    const [one, two] = [await started(engine), await started(engine)];
    // No later transaction gets the first job's row, once another one has completed it.
    const fault = `IF EXISTS (SELECT FROM ai_jobs WHERE job_id = '${one.job.jobId}' AND state = 'completed'
      AND order_xid <> pg_current_xact_id()::text::bigint) THEN RAISE EXCEPTION 'injected by a test' USING ERRCODE = '40001'; END IF`;
    const [first, second, third] = await withFaultAtLock(database, fault, async () => {
      const calls = [[aCompletion(one)], [aCompletion(one), aCompletion(two)], [aCompletion(one)]];
      return together(COMPLETIONS, calls);
    });
    expect(first).toMatchObject({ status: "fulfilled", value: [{ job: { state: "COMPLETED" } }] });
    expect(second).toMatchObject({
      status: "fulfilled",
      value: [{ code: "TRY_AGAIN" }, { job: { state: "COMPLETED" } }],
    });
    // Nothing of the third call is stored.
    expect(third).toMatchObject({ status: "rejected", reason: { code: "TRY_AGAIN" } });
    const { job } = await recordsOf(database.prisma, two.job.jobId);
    expect(job.state).toBe("COMPLETED");
  });

  test("that the database refuses together are tried apart", async () => {
    const [one, two] = [await started(engine), await started(engine)];
    const { completeWorkflows: complete } = createBatchedReleases(engine);
    const answers = await Promise.allSettled([
      complete([aCompletion(one)]),
      complete([aCompletion(two, { jobOutputs: { text: "\0" } })]),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    const states = await Promise.all([one, two].map(({ job }) => recordsOf(database.prisma, job.jobId)));
    expect(states.map(({ job }) => job.state)).toEqual(["COMPLETED", "RUNNING"]);
  });
});

describe("failures", () => {
  test("of several workers share a transaction, and each is judged by itself", async () => {
    const claims = [await started(engine), await started(engine, { maxAttempts: 1 }), await started(engine)];
    const [one, two, three] = claims;
    if (!one || !two || !three) throw new Error("There are three.");
    const { failWorkflows: fail } = createBatchedReleases(engine);
    database.statements();
    const first = fail([aFailure(one)]);
    await new Promise(setImmediate);
    const [again, over, lost] = await Promise.all([
      first,
      fail([aFailure(two)]),
      fail([aFailure(three, { leaseToken: two.leaseToken })]),
    ]);
    expect(locks()).toBeLessThanOrEqual(2);
    expect([again, over]).toMatchObject([[{ job: { state: "QUEUED" } }], [{ job: { state: "FAILED" } }]]);
    expect(lost.map(reportOutcome)).toEqual(["LEASE_LOST STOP_LEASE_LOST"]);
  });

  test("that could not be stored are told to try again one by one, where another of their call is stored", async () => {
    const [one, two] = [await started(engine), await started(engine)];
    const fault = `IF EXISTS (SELECT FROM ai_jobs WHERE job_id = '${one.job.jobId}' AND state = 'queued'
      AND order_xid <> pg_current_xact_id()::text::bigint) THEN RAISE EXCEPTION 'injected by a test' USING ERRCODE = '40001'; END IF`;
    const [first, second] = await withFaultAtLock(database, fault, async () => {
      const calls = [[aFailure(one)], [aFailure(one), aFailure(two)]];
      return together(FAILURES, calls);
    });
    expect(first).toMatchObject({ status: "fulfilled", value: [{ job: { state: "QUEUED" } }] });
    expect(second).toMatchObject({ status: "fulfilled", value: [{ code: "TRY_AGAIN" }, { job: { state: "QUEUED" } }] });
  });
});
