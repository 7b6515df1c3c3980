import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { IllegalTransitionError, JobPoisonedError, NotFoundError, TryAgainError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { awaitAnswer, bringTo, claim, dueNow, FOUND, stall } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);
const start = (jobId: string, workspaceId = WORKSPACE, workerId = "worker-7") =>
  startWorkflow(engine, workspaceId, { jobId, workerId, leaseSeconds: 45 });

describe("a start", () => {
  test("gives a worker the job: a run, a lease, running, one attempt more", async () => {
    const { jobId } = await submitted(engine);
    const taken = ok(await start(jobId));
    const after = await records(jobId);
    expectSound(after);
    const [run] = after.runs;
    expect(after.runs).toHaveLength(1);
    expect(run).toMatchObject({ state: "RUNNING", attempt: 1, workerId: "worker-7", finishedAt: null });
    expect(run?.leaseExpiresAt?.getTime()).toBe((run?.startedAt.getTime() ?? 0) + 45_000);
    expect(run?.lastHeartbeat).toEqual(run?.startedAt);
    expect(after.job).toMatchObject({ state: "RUNNING", statusReason: "running", attempt: 1, workflowRunId: run?.id });
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      state: "RUNNING",
      previousState: "QUEUED",
      actor: "AGENT",
      actorId: "worker-7",
      capabilityId: "doc.summarize",
      workflowRunId: run?.id,
      payload: { reason: "running", attempt: 1 },
    });
    expect(taken).toMatchObject({
      job: { jobId, state: "RUNNING", version: 2 },
      run: { id: run?.id },
      leaseToken: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  test("after a failure is the next attempt, and forgets why the last one failed", async () => {
    const first = await started(engine);
    const { jobId } = first.job;
    const failure = { errorMessage: "out of memory", retryable: true, metrics: NO_METRICS };
    ok(await failWorkflow(engine, { workflowRunId: first.run.id, leaseToken: first.leaseToken, ...failure }));
    await dueNow(engine, jobId);
    await start(jobId);
    const after = await records(jobId);
    expect(after.job).toMatchObject({ state: "RUNNING", attempt: 2, errorMessage: null, runAfter: null });
    expect(after.runs).toMatchObject([
      { attempt: 1, state: "FAILED", errorMessage: "out of memory" },
      { attempt: 2, state: "RUNNING", errorMessage: null },
    ]);
  });

  test("of one job by 20 workers at once gives it to one", async () => {
    const { jobId } = await submitted(engine, { jobInputs: { text: "fine" } });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => start(jobId, WORKSPACE, `worker-${n}`)));
    const claims = answers.filter((answer) => "leaseToken" in answer);
    expect(claims).toHaveLength(1);
    const refused = answers.filter((answer) => answer instanceof IllegalTransitionError);
    expect(refused).toHaveLength(19);
    expect(refused[0]).toMatchObject({ from: "RUNNING", to: "RUNNING" });
    const after = await records(jobId);
    expectSound(after);
    expect(after.runs).toHaveLength(1);
    expect(after.job).toMatchObject({ attempt: 1, version: 2 });
    expect(claims).toMatchObject([{ run: { workerId: after.runs[0]?.workerId } }]);
  });
});

describe("a start is refused, and changes nothing,", () => {
  test.each([
    ["running", async () => (await started(engine)).job],
    ["stalled", async () => stall(engine, await started(engine))],
    ["awaiting_validation", async () => awaitAnswer(engine, await started(engine), "AWAITING_VALIDATION")],
    ["awaiting_user", async () => awaitAnswer(engine, await started(engine), "AWAITING_USER")],
    ["completed", async () => bringTo(engine, (await started(engine)).job.jobId, "COMPLETED")],
    ["completed_with_issues", async () => bringTo(engine, (await started(engine)).job.jobId, "COMPLETED_WITH_ISSUES")],
    ["failed", async () => bringTo(engine, (await submitted(engine)).jobId, "FAILED")],
    ["cancelled", cancelled],
  ])("where the job is %s", async (state, make) => {
    const { jobId } = await make();
    const before = await records(jobId);
    const answer = await start(jobId);
    expect(answer).toBeInstanceOf(IllegalTransitionError);
    expect(answer).toMatchObject({ from: state.toUpperCase(), to: "RUNNING", directive: null });
    expect(await records(jobId)).toEqual(before);
  });

  async function cancelled() {
    const { jobId } = await submitted(engine);
    return ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" }));
  }

  test("where the job is poisoned, with the name for it", async () => {
    const { jobId } = await submitted(engine);
    await poisonJob(engine, WORKSPACE, jobId, FOUND);
    const before = await records(jobId);
    expect(await start(jobId)).toBeInstanceOf(JobPoisonedError);
    expect(await records(jobId)).toEqual(before);
  });

  test("where the job is not due; when it is, it is given", async () => {
    const due = new Date(Date.now() + 3_600_000);
    const { jobId } = await submitted(engine, { runAfter: due });
    const before = await records(jobId);
    const answer = await start(jobId);
    expect(answer).toBeInstanceOf(TryAgainError);
    expect(answer).toMatchObject({ message: expect.stringContaining(due.toISOString()) });
    expect(await records(jobId)).toEqual(before);
    await bringTo(engine, jobId, "QUEUED", { runAfter: new Date(Date.now() - 60_000) });
    expect(await claim(engine, jobId)).toMatchObject({ job: { runAfter: null } });
  });

  test("where there is no such job, or it is of another workspace", async () => {
    const { jobId } = await submitted(engine);
    const before = await records(jobId);
    expect(await start(randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await start(jobId, randomUUID())).toBeInstanceOf(NotFoundError);
    expect(await records(jobId)).toEqual(before);
  });
});
