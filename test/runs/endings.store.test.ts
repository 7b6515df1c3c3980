import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canonicalHash } from "../../src/canonical-hash.ts";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { AccessMode } from "../../src/db/generated/client/enums.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { AccessModeViolationError, IllegalTransitionError, NotFoundError } from "../../src/errors.ts";
import type { EntityRef } from "../../src/jobs/access-mode.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import type { Completion } from "../../src/runs/completion.ts";
import type { Failure } from "../../src/runs/failure.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { aBusyJob, awaitAnswer, bringTo, claim, dueNow, FOUND, stall } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";

/** The three ways in which a worker or a person ends a run: complete, fail, cancel. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);
const METRICS = { ...NO_METRICS, inputTokens: 7, outputTokens: 5, durationMs: 90 };
const GROWN = { inputTokens: 7n, outputTokens: 5n, totalTokens: 12n, durationMs: 90n };

function completion({ run, leaseToken }: Claim, more: Partial<Completion> = {}): Completion {
  const nothing = { jobOutputs: null, writtenEntities: [], issues: [], metrics: NO_METRICS };
  return { workflowRunId: run.id, leaseToken, ...nothing, ...more };
}

async function complete(held: Claim, more: Partial<Completion> = {}) {
  return (await completeWorkflows(engine, [completion(held, more)]))[0];
}

function fail({ run, leaseToken }: Claim, more: Partial<Failure> = {}) {
  const failure = { errorMessage: "out of memory", retryable: true, metrics: NO_METRICS };
  return failWorkflow(engine, { workflowRunId: run.id, leaseToken, ...failure, ...more });
}

const cancel = (jobId: string, reason = "enough", workspaceId = WORKSPACE) =>
  cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason });

test.each([
  ["completed", (held: Claim) => complete(held)],
  ["completed for a verdict", (held: Claim) => complete(held, { needsValidation: true })],
  ["failed", (held: Claim) => fail(held)],
] as const)("a run that is %s is answered as it is stored, and its job, too", async (_, end) => {
  const held = await started(engine);
  const answer = ok(await end(held));
  const { job, runs } = await records(held.job.jobId);
  // It is not read again for the answer.
  const { outputs: _of, ...run } = { outputs: null, ...runs[0] };
  expect(answer?.run).toMatchObject(run);
  const {
    jobInputs: _inputs,
    entityRefs: _refs,
    plannedOperations: _operations,
    jobOutputs: _outputs,
    ...summary
  } = job;
  expect(answer?.job).toMatchObject(summary);
});

describe("a completion", () => {
  test.each([
    ["COMPLETED", "completed", []],
    ["COMPLETED_WITH_ISSUES", "completed_with_issues", ["page 3 is missing", "two dates disagree"]],
  ] as const)(
    "makes the job %s, with its outputs, metrics and issues, in one version",
    async (state, reason, issues) => {
      const held = await started(engine);
      ok(await advanceWorkflow(engine, aStep(held, "n")));
      ok(await advanceWorkflow(engine, aStep(held, "n", { outcome: "SUCCEEDED" })));
      const before = await records(held.job.jobId);
      const jobOutputs = { summary: "naïve 日本語", pages: [1, null] };
      const result = await complete(held, { jobOutputs, issues, metrics: METRICS });

      const after = await records(held.job.jobId);
      expectSound(after);
      expect(after.job).toMatchObject({
        state,
        statusReason: reason,
        jobOutputs,
        issues,
        errorMessage: null,
        ...GROWN,
      });
      expect(after.job.completedAt).toEqual(expect.any(Date));
      expect(after.job.version).toBe(before.job.version + 1);
      expect(after.runs).toMatchObject([
        { state, leaseExpiresAt: null, errorMessage: null, outputs: jobOutputs, endReason: reason },
      ]);
      expect(after.runs[0]?.finishedAt).toEqual(after.job.completedAt);
      expect(after.nodes).toEqual(before.nodes);
      expect(after.events.at(-1)).toMatchObject({
        type: "STATE_CHANGED",
        actor: "AGENT",
        actorId: "worker-1",
        state,
        previousState: "RUNNING",
        capabilityId: "doc.summarize",
      });
      expect(after.events.at(-1)?.payload).toEqual({
        reason,
        issues: issues.length,
        outputs_hash: canonicalHash(jobOutputs),
      });
      expect(result).toMatchObject({
        job: { state, jobOutputs },
        run: { id: held.run.id, state, leaseExpiresAt: null },
      });
    },
  );

  test.each([
    ["no value", null, null],
    ["a number", 7, 7],
    ["false", false, false],
    ["an empty object", {}, {}],
  ])("keeps %s as the outputs", async (_, jobOutputs, kept) => {
    const held = await started(engine);
    await complete(held, { jobOutputs });
    expect((await records(held.job.jobId)).job).toMatchObject({ state: "COMPLETED", jobOutputs: kept });
  });

  test("after an attempt that failed leaves nothing of why it failed in the job", async () => {
    const first = await started(engine);
    ok(await fail(first));
    await dueNow(engine, first.job.jobId);
    await complete(await claim(engine, first.job.jobId));
    expect(await records(first.job.jobId)).toMatchObject({
      job: { state: "COMPLETED", errorMessage: null, attempt: 2 },
      runs: [{ state: "FAILED", errorMessage: "out of memory" }, { state: "COMPLETED" }],
    });
  });

  test("is refused while a node is open, and changes nothing", async () => {
    const held = await started(engine);
    ok(await advanceWorkflow(engine, aStep(held, "n")));
    const before = await records(held.job.jobId);
    const result = await complete(held, { jobOutputs: { a: 1 }, metrics: METRICS });
    expect(result).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "completions", "0", "workflowRunId"] });
    expect(await records(held.job.jobId)).toEqual(before);
  });

  test("is refused where its metrics cannot be, and changes nothing", async () => {
    const held = await started(engine);
    const before = await records(held.job.jobId);
    const result = await complete(held, { jobOutputs: { a: 1 }, metrics: { ...NO_METRICS, tokensPlanner: 1 } });
    const inputPath = ["input", "completions", "0", "metrics", "tokensPlanner"];
    expect(result).toMatchObject({ code: "INVALID_INPUT", inputPath });
    expect(await records(held.job.jobId)).toEqual(before);
  });
});

const doc = (entityId: string, selector?: string): EntityRef => ({
  entityKind: "document",
  entityId,
  ...(selector === undefined ? {} : { selector }),
});
const sheet = (entityId: string): EntityRef => ({ entityKind: "sheet", entityId });

const written: readonly [AccessMode, readonly EntityRef[], readonly EntityRef[], "applied" | "refused"][] = [
  ["ANALYSIS_ONLY", [doc("d-1")], [], "applied"],
  ["ANALYSIS_ONLY", [doc("d-1")], [doc("d-1")], "refused"],
  ["PREVIEW_ONLY", [doc("d-1")], [], "applied"],
  ["PREVIEW_ONLY", [doc("d-1")], [doc("d-1")], "refused"],
  ["APPLY_SCOPED", [], [], "applied"],
  ["APPLY_SCOPED", [], [doc("d-1")], "refused"],
  ["APPLY_SCOPED", [doc("d-1"), doc("d-2")], [doc("d-2"), doc("d-1")], "applied"],
  ["APPLY_SCOPED", [doc("d-1")], [doc("d-1", "§ 4")], "applied"],
  ["APPLY_SCOPED", [doc("d-1", "§ 4")], [doc("d-1", "§ 4")], "applied"],
  ["APPLY_SCOPED", [doc("d-1", "§ 4")], [doc("d-1", "§ 5")], "refused"],
  ["APPLY_SCOPED", [doc("d-1", "§ 4")], [doc("d-1")], "refused"],
  ["APPLY_SCOPED", [doc("d-1")], [doc("d-2")], "refused"],
  ["APPLY_SCOPED", [doc("d-1")], [doc("d-1"), doc("d-2")], "refused"],
  ["APPLY_SCOPED", [doc("d-1")], [sheet("d-1")], "refused"],
  ["APPLY_SCOPED", [doc("d-1")], [doc("D-1")], "refused"],
];

describe("written entities", () => {
  test.each(written)("%s, with %j in scope, and %j written: %s", async (accessMode, entityRefs, entities, outcome) => {
    const held = await started(engine, { accessMode, entityRefs });
    const result = await complete(held, { writtenEntities: entities, jobOutputs: { a: 1 }, metrics: METRICS });
    const { job } = await records(held.job.jobId);
    expect({ state: job.state, outputs: job.jobOutputs, tokens: job.totalTokens }).toEqual(
      outcome === "applied"
        ? { state: "COMPLETED", outputs: { a: 1 }, tokens: 12n }
        : { state: "FAILED", outputs: null, tokens: 0n },
    );
    expect(result instanceof AccessModeViolationError).toBe(outcome === "refused");
  });

  test("that break the access mode fail the run, for good, and nothing of the report is applied", async () => {
    const held = await started(engine, { maxAttempts: 5 });
    ok(await advanceWorkflow(engine, aStep(held, "n")));
    const before = await records(held.job.jobId);
    const report = { jobOutputs: { a: 1 }, issues: ["one"], metrics: METRICS, writtenEntities: [doc("d-1")] };
    const result = await complete(held, report);
    expect(result).toMatchObject({ code: "ACCESS_MODE_VIOLATION", directive: "STOP_FAILED" });

    const after = await records(held.job.jobId);
    expectSound(after);
    const { version } = before.job;
    const failed = { state: "FAILED", statusReason: "access_mode_violation", jobOutputs: null, issues: [] };
    expect(after.job).toMatchObject({ ...failed, ...metricsOf(before.job), runAfter: null, version: version + 1 });
    expect(after.job.errorMessage).toContain("ANALYSIS_ONLY");
    expect(after.runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null, errorMessage: after.job.errorMessage }]);
    expect(after.nodes).toMatchObject([{ state: "FAILED" }]);
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      state: "FAILED",
      actor: "AGENT",
      payload: { reason: "access_mode_violation" },
    });
  });
});

describe("a batch of completions", () => {
  test("is answered in order, each by itself", async () => {
    const [fine, issues, open, writer, poisoned, stranger] = [
      await started(engine),
      await started(engine),
      await started(engine),
      await started(engine),
      await started(engine),
      await started(engine),
    ];
    ok(await advanceWorkflow(engine, aStep(open, "n")));
    await poisonJob(engine, WORKSPACE, poisoned.job.jobId, FOUND);
    const untouched = [open, poisoned, stranger];
    const before = await Promise.all(untouched.map(({ job }) => records(job.jobId)));

    const results = await completeWorkflows(engine, [
      completion(poisoned),
      completion(issues, { issues: ["short"], jobOutputs: { b: 2 } }),
      completion(open, { jobOutputs: { c: 3 } }),
      completion(writer, { writtenEntities: [doc("d-1")], jobOutputs: { d: 4 } }),
      completion(stranger, { leaseToken: fine.leaseToken, jobOutputs: { e: 5 } }),
      completion(fine, { jobOutputs: { f: 6 } }),
    ]);
    expect(results).toMatchObject([
      { code: "JOB_POISONED" },
      { job: { jobId: issues.job.jobId, state: "COMPLETED_WITH_ISSUES", jobOutputs: { b: 2 } } },
      { code: "INVALID_INPUT", inputPath: ["input", "completions", "2", "workflowRunId"] },
      { code: "ACCESS_MODE_VIOLATION" },
      { code: "LEASE_LOST" },
      { job: { jobId: fine.job.jobId, state: "COMPLETED", jobOutputs: { f: 6 } }, run: { id: fine.run.id } },
    ]);
    expect(await Promise.all(untouched.map(({ job }) => records(job.jobId)))).toEqual(before);
    expect((await records(writer.job.jobId)).job.state).toBe("FAILED");
    for (const { job } of [fine, issues, writer]) expectSound(await records(job.jobId));
  });

  test("takes as many statements for 50 runs as for one", async () => {
    const held: Claim[] = [];
    for (let count = 0; count < 51; count++) held.push(await started(engine));
    const [one, ...rest] = held.map((each) => completion(each, { jobOutputs: { a: 1 }, metrics: METRICS }));
    db.statements();
    await completeWorkflows(engine, one ? [one] : []);
    const forOne = db.statements();
    const results = await completeWorkflows(engine, rest);
    const forAll = db.statements();
    expect(results.filter((result) => "job" in result && "run" in result)).toHaveLength(50);
    expect(forOne.length).toBeGreaterThan(3);
    expect(forAll).toHaveLength(forOne.length);
  });
});

describe("a failure", () => {
  test.each([
    ["that is worth another attempt queues the job again, for later", 2, true, "QUEUED", "retry_scheduled"],
    ["of the last attempt fails the job", 1, true, "FAILED", "failed_by_worker"],
    ["that is not worth another attempt fails the job", 5, false, "FAILED", "failed_by_worker"],
  ] as const)("%s", async (_, maxAttempts, retryable, state, reason) => {
    const held = await started(engine, { maxAttempts });
    ok(await advanceWorkflow(engine, aStep(held, "n")));
    const before = await records(held.job.jobId);
    const result = ok(await fail(held, { retryable, metrics: METRICS, errorMessage: "no: Bearer 0123456789abcdef" }));

    const after = await records(held.job.jobId);
    expectSound(after);
    const errorMessage = "no: [redacted]";
    expect(after.job).toMatchObject({ state, statusReason: reason, errorMessage, attempt: 1, completedAt: null });
    expect(after.job).toMatchObject({ ...GROWN, version: before.job.version + 1 });
    const { runAfter, updatedAt } = after.job;
    const wait = runAfter === null ? 0 : runAfter.getTime() - updatedAt.getTime();
    expect(runAfter === null).toBe(state === "FAILED");
    expect(wait <= 5000 && wait >= (state === "FAILED" ? 0 : 2500)).toBe(true);
    expect(after.runs).toMatchObject([{ state: "FAILED", errorMessage, leaseExpiresAt: null }]);
    expect(after.nodes).toMatchObject([{ state: "FAILED", finishedAt: after.runs[0]?.finishedAt }]);
    expect(after.events.at(-1)).toMatchObject({ type: "STATE_CHANGED", state, actor: "AGENT", actorId: "worker-1" });
    expect(after.events.at(-1)?.payload).toEqual({ reason, retryable, error_message: errorMessage });
    expect(result).toMatchObject({ job: { state }, run: { state: "FAILED", leaseExpiresAt: null } });
  });

  test("says before when another attempt is of no use: the job is due then, and the same report counts once", async () => {
    const held = await started(engine);
    const retryAfter = new Date(Date.now() + 3_600_000);
    const report = { retryAfter, reportId: randomUUID() };
    ok(await fail(held, report));
    const after = await records(held.job.jobId);
    expect(after.job).toMatchObject({ state: "QUEUED", runAfter: retryAfter });
    expect(ok(await fail(held, report))).toMatchObject({ job: { version: after.job.version } });
    const later = { ...report, retryAfter: new Date(retryAfter.getTime() + 1) };
    // Another one under its id is none of the run any more, which has ended.
    expect(await fail(held, later)).toMatchObject({ code: "LEASE_LOST" });
    expect(await records(held.job.jobId)).toEqual(after);
  });

  test("of the last attempt fails the job, whatever it says of the next", async () => {
    const held = await started(engine, { maxAttempts: 1 });
    ok(await fail(held, { retryAfter: new Date(Date.now() + 3_600_000) }));
    expect((await records(held.job.jobId)).job).toMatchObject({ state: "FAILED", runAfter: null });
  });

  test("that would wait for more than a day is refused, and changes nothing", async () => {
    const held = await started(engine);
    const before = await records(held.job.jobId);
    const day = 24 * 3_600_000;
    const answer = await fail(held, { retryAfter: new Date(Date.now() + day + 60_000) });
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "failures", "0", "retryAfter"] });
    expect(await records(held.job.jobId)).toEqual(before);
    ok(await fail(held, { retryAfter: new Date(Date.now() + day - 60_000) }));
  });

  test("whose metrics cannot be is refused, and changes nothing", async () => {
    const held = await started(engine);
    const before = await records(held.job.jobId);
    const answer = await fail(held, { metrics: { ...NO_METRICS, tokensExecutor: 1 } });
    const inputPath = ["input", "failures", "0", "metrics", "tokensPlanner"];
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath });
    expect(await records(held.job.jobId)).toEqual(before);
  });
});

describe("a cancellation", () => {
  test.each([
    ["queued", async () => (await submitted(engine)).jobId],
    ["running, with open nodes", async () => (await aBusyJob(engine)).job.jobId],
    ["stalled", async () => (await stall(engine, await started(engine))).jobId],
    [
      "awaiting validation",
      async () => (await awaitAnswer(engine, await started(engine), "AWAITING_VALIDATION")).jobId,
    ],
    ["awaiting a person", async () => (await awaitAnswer(engine, await started(engine), "AWAITING_USER")).jobId],
  ])("ends a job that is %s, its active run and that run's open nodes", async (_, make) => {
    const jobId = await make();
    const before = await records(jobId);
    const job = ok(await cancel(jobId, "no longer needed: Bearer 0123456789abcdef"));
    const after = await records(jobId);
    expectSound(after);
    expect(job).toMatchObject({ jobId, state: "CANCELLED" });
    expect(after.job).toMatchObject({
      state: "CANCELLED",
      statusReason: "cancelled",
      jobOutputs: null,
      runAfter: null,
      version: before.job.version + 1,
      ...metricsOf(before.job),
    });
    expect(after.job.completedAt).toEqual(expect.any(Date));
    expect(after.runs.map(({ state }) => state)).toEqual(
      before.runs.map(({ state, finishedAt }) => (finishedAt === null ? "CANCELLED" : state)),
    );
    expect(after.nodes.map(({ state }) => state)).toEqual(
      before.nodes.map(({ state, finishedAt }) => (finishedAt === null ? "CANCELLED" : state)),
    );
    for (const { finishedAt } of [...after.runs, ...after.nodes]) expect(finishedAt).not.toBeNull();
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "HUMAN",
      actorId: "anonymous",
      state: "CANCELLED",
      previousState: before.job.state,
      payload: { reason: "cancelled", detail: "no longer needed: [redacted]" },
    });
  });

  test.each(["COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED"] as const)(
    "of a job that is %s is refused, and changes nothing",
    async (state) => {
      const { jobId } = (await started(engine)).job;
      await bringTo(engine, jobId, state);
      const before = await records(jobId);
      const answer = await cancel(jobId);
      expect(answer).toBeInstanceOf(IllegalTransitionError);
      expect(answer).toMatchObject({ from: state, to: "CANCELLED", directive: null });
      expect(await records(jobId)).toEqual(before);
    },
  );

  test("of another workspace's job, or of none, finds none", async () => {
    const { jobId } = await submitted(engine);
    const before = await records(jobId);
    expect(await cancel(jobId, "mine", randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await cancel(randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await records(jobId)).toEqual(before);
  });
});
