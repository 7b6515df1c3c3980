import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import {
  BudgetExceededError,
  IllegalTransitionError,
  JobPoisonedError,
  NotFoundError,
  TryAgainError,
} from "../../src/errors.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { retryAiJob } from "../../src/jobs/retry.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { raising, withFault } from "../support/faults.ts";
import { aBusyJob, awaitAnswer, bringTo, claim, FOUND, stall } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";

/** A person has a job tried again. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);
const retry = (jobId: string, workspaceId = WORKSPACE) => retryAiJob(engine, workspaceId, SOMEBODY, jobId);

/** A job whose only attempt has failed, with a node that failed with it. */
async function aFailedJob(): Promise<string> {
  const held = await started(engine, { maxAttempts: 1 });
  ok(await advanceWorkflow(engine, aStep(held, "n")));
  const metrics = { ...NO_METRICS, inputTokens: 7, durationMs: 5 };
  const report = { workflowRunId: held.run.id, leaseToken: held.leaseToken, metrics, retryable: true };
  ok(await failWorkflow(engine, { ...report, errorMessage: "out of memory" }));
  return held.job.jobId;
}

describe("a retry", () => {
  test.each([
    ["failed, with no attempt left", aFailedJob],
    ["stalled, with every run and node ended", async () => (await stall(engine, await aBusyJob(engine))).jobId],
    ["failed before it was ever taken", failedAtSubmit],
  ])("queues a job again that is %s, in one version, and leaves its runs and nodes as they are", async (_, make) => {
    const jobId = await make();
    const before = await records(jobId);
    const job = ok(await retry(jobId));
    const after = await records(jobId);
    expectSound(after);
    expect(job).toMatchObject({ jobId, state: "QUEUED", version: before.job.version + 1 });
    const { version, orderXid, chainHash, updatedAt } = after.job;
    expect(after.job).toEqual({
      ...before.job,
      state: "QUEUED",
      statusReason: "retried",
      errorMessage: null,
      runAfter: null,
      endedAt: null,
      issues: [],
      version,
      orderXid,
      chainHash,
      updatedAt,
    });
    expect(after).toMatchObject({ runs: before.runs, nodes: before.nodes });
    expect(after.events.slice(0, -1)).toEqual(before.events);
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "HUMAN",
      actorId: "anonymous",
      state: "QUEUED",
      previousState: before.job.state,
      payload: { reason: "retried" },
      ...metricsOf(before.job),
    });
  });

  async function failedAtSubmit(): Promise<string> {
    const { jobId } = await submitted(engine);
    const left = { errorMessage: "denied", runAfter: new Date(), issues: ["of outputs that were rejected"] };
    return (await bringTo(engine, jobId, "FAILED", left)).jobId;
  }

  test("lets a worker take the job at once, however often it was taken before", async () => {
    const jobId = await aFailedJob();
    for (const attempt of [2, 3]) {
      ok(await retry(jobId));
      const { job, run, leaseToken } = await claim(engine, jobId, "worker-2");
      expect(job).toMatchObject({ state: "RUNNING", attempt, maxAttempts: 1 });
      const report = { workflowRunId: run.id, leaseToken, metrics: NO_METRICS, retryable: true };
      const failed = ok(await failWorkflow(engine, { ...report, errorMessage: "again" }));
      // Policy counts attempts; a person does not.
      expect(failed.job.state).toBe("FAILED");
    }
    expectSound(await records(jobId));
  });

  test.each([
    ["queued", "QUEUED", async () => (await submitted(engine)).jobId],
    ["running", "RUNNING", async () => (await started(engine)).job.jobId],
    ["awaiting validation", "AWAITING_VALIDATION", () => awaiting("AWAITING_VALIDATION")],
    ["awaiting a person", "AWAITING_USER", () => awaiting("AWAITING_USER")],
    ["completed", "COMPLETED", () => ended("COMPLETED")],
    ["completed with issues", "COMPLETED_WITH_ISSUES", () => ended("COMPLETED_WITH_ISSUES")],
    ["cancelled", "CANCELLED", () => ended("CANCELLED")],
  ] as const)("of a job that is %s is refused, and changes nothing", async (_, state, make) => {
    const jobId = await make();
    const before = await records(jobId);
    const answer = await retry(jobId);
    expect(answer).toBeInstanceOf(IllegalTransitionError);
    expect(answer).toMatchObject({ from: state, to: "QUEUED", directive: null });
    expect(await records(jobId)).toEqual(before);
  });

  const awaiting = async (state: "AWAITING_VALIDATION" | "AWAITING_USER") =>
    (await awaitAnswer(engine, await started(engine), state)).jobId;
  const ended = async (state: "COMPLETED" | "COMPLETED_WITH_ISSUES" | "CANCELLED") =>
    (await bringTo(engine, (await started(engine)).job.jobId, state)).jobId;

  test.each([
    ["with attempts left", 5],
    ["without", 1],
  ])("of a job that failed and was poisoned is refused, %s, each time", async (_, maxAttempts) => {
    const { jobId } = (await started(engine, { maxAttempts })).job;
    await bringTo(engine, jobId, "FAILED");
    await poisonJob(engine, WORKSPACE, jobId, FOUND);
    const before = await records(jobId);
    for (const answer of [await retry(jobId), await retry(jobId)]) {
      expect(answer).toBeInstanceOf(JobPoisonedError);
      expect(answer).toMatchObject({ job: { jobId, state: "POISONED" }, directive: null });
    }
    expect(await records(jobId)).toEqual(before);
  });

  test.each([
    ["less than", 99n],
    ["just", 100n],
  ])("queues a job again that has used %s its token budget: %s tokens of 100", async (_, tokens) => {
    const { jobId } = await submitted(engine, { tokenBudget: 100 });
    await bringTo(engine, jobId, "FAILED", { inputTokens: tokens, totalTokens: tokens });
    expect(ok(await retry(jobId)).state).toBe("QUEUED");
  });

  test("of a job whose tokens have passed its budget is refused, and changes nothing", async () => {
    const { jobId } = await submitted(engine, { tokenBudget: 100 });
    await bringTo(engine, jobId, "FAILED", { inputTokens: 101n, totalTokens: 101n });
    const before = await records(jobId);
    const answer = await retry(jobId);
    expect(answer).toBeInstanceOf(BudgetExceededError);
    expect(answer).toMatchObject({ message: expect.stringMatching(/^ACE-001: .*101 tokens of a budget of 100/) });
    expect(answer).toMatchObject({ freesAt: null, directive: null });
    expect(await records(jobId)).toEqual(before);
  });

  test("of a job without a budget asks nobody what it has used", async () => {
    const { jobId } = await submitted(engine);
    await bringTo(engine, jobId, "FAILED", { inputTokens: 10n ** 12n, totalTokens: 10n ** 12n });
    expect(ok(await retry(jobId)).state).toBe("QUEUED");
  });

  test("of another workspace's job, or of none, finds none", async () => {
    const jobId = await aFailedJob();
    const before = await records(jobId);
    expect(await retry(jobId, randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await retry(randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await records(jobId)).toEqual(before);
  });

  test("that the database has no time for keeps nothing, and can be sent again", async () => {
    const jobId = await aFailedJob();
    const before = await records(jobId);
    const point = { at: "after the event", on: "flight_recorder_events", when: "AFTER STATEMENT" } as const;
    const body = await raising(db, "40001");
    await withFault(db, point, body, () => expect(retry(jobId)).rejects.toBeInstanceOf(TryAgainError));
    expect(await records(jobId)).toEqual(before);
    expect(ok(await retry(jobId)).state).toBe("QUEUED");
  });
});
