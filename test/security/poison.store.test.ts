import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import type { EngineContext } from "../../src/engine.ts";
import { IllegalTransitionError, JobPoisonedError, NotFoundError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { retryAiJob } from "../../src/jobs/retry.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { aceCodeOf, poisonJob, reportSecurityViolation } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSnippet, aStep, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { aBusyJob, awaitAnswer, bringTo, expireLease, FOUND, HOSTILE, stall } from "../support/jobs.ts";
import { expectPoisoned, expectSound, recordsOf, violationsIn } from "../support/records.ts";
import { failWorkflow } from "../support/reports.ts";

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);

describe("what poison does to a job", () => {
  test.each([
    ["queued", async () => (await submitted(engine)).jobId],
    ["running, after an attempt that stalled and one that failed", async () => (await aBusyJob(engine)).job.jobId],
    ["stalled", async () => (await stall(engine, await started(engine))).jobId],
    ["queued again after it stalled", stalledAndQueued],
    [
      "awaiting validation",
      async () => (await awaitAnswer(engine, await started(engine), "AWAITING_VALIDATION")).jobId,
    ],
    ["awaiting a person", async () => (await awaitAnswer(engine, await started(engine), "AWAITING_USER")).jobId],
    ["failed", async () => (await failed(await started(engine))).jobId],
  ])("one that is %s is poisoned, with every run and node that had not ended", async (_, make) => {
    const jobId = await make();
    const before = await records(jobId);
    const outcome = await poisonJob(engine, WORKSPACE, jobId, FOUND);
    const after = await records(jobId);
    expectPoisoned(after, before);
    expect(after.job).toMatchObject({
      statusReason: "poisoned: export",
      errorMessage: "a person (ACE-013): This source may not leave.",
    });
    expect(outcome).toMatchObject({
      action: "POISONED",
      job: { jobId, state: "POISONED", version: after.job.version },
    });
    expect(after.events.at(-1)?.payload).toEqual({
      violation_type: "export",
      description: "This source may not leave.",
      source_id: "doc-1",
      trigger: "paragraph 3",
      guard_name: "a person",
      ace_code: "ACE-013",
      action_taken: "poisoned",
      job_state_transition: `${before.job.state.toLowerCase()} -> poisoned`,
    });
  });

  async function stalledAndQueued(): Promise<string> {
    const { jobId } = await stall(engine, await started(engine));
    return (await bringTo(engine, jobId, "QUEUED")).jobId;
  }

  test.each([
    ["completed", "COMPLETED", (jobId: string) => bringTo(engine, jobId, "COMPLETED", { jobOutputs: { a: 1 } })],
    [
      "completed with issues",
      "COMPLETED_WITH_ISSUES",
      (jobId: string) => bringTo(engine, jobId, "COMPLETED_WITH_ISSUES", { jobOutputs: { a: 1 }, issues: ["short"] }),
    ],
    ["cancelled", "CANCELLED", (jobId: string) => bringTo(engine, jobId, "CANCELLED")],
  ] as const)("one that was %s before stands; the violation is recorded, each time", async (_, state, end) => {
    const { jobId } = (await started(engine)).job;
    await end(jobId);
    const before = await records(jobId);
    for (const reports of [1, 2]) {
      const outcome = await poisonJob(engine, WORKSPACE, jobId, FOUND);
      expect(outcome).toMatchObject({ action: "RECORDED", job: { state }, event: { type: "SECURITY_VIOLATION" } });
      const after = await records(jobId);
      expectSound(after);
      expect(after).toMatchObject({ runs: before.runs, nodes: before.nodes });
      const { version, orderXid, chainHash, updatedAt } = after.job;
      expect(after.job).toEqual({ ...before.job, version, orderXid, chainHash, updatedAt });
      expect(version).toBe(before.job.version + reports);
      const [last] = violationsIn(after).slice(-1);
      expect(last?.payload).toMatchObject({
        action_taken: "recorded",
        job_state_transition: `${state.toLowerCase()} -> ${state.toLowerCase()}`,
      });
    }
  });

  test("a second report on a poisoned job changes nothing and names the event that poisoned it", async () => {
    const { jobId } = await submitted(engine);
    const first = await poisonJob(engine, WORKSPACE, jobId, FOUND);
    const after = await records(jobId);
    const second = await poisonJob(engine, WORKSPACE, jobId, { ...FOUND, description: "Again." }, { guardsRun: 3 });
    expect(first).toMatchObject({ action: "POISONED", job: { state: "POISONED", version: 2 } });
    expect(second).toMatchObject({ action: "ALREADY_POISONED", job: { version: 2 }, event: after.events.at(-1) });
    expect(await records(jobId)).toEqual(after);
  });

  test("a job that does not exist is not found by who reports, and is a fault of the server that guards it", async () => {
    const nobodys = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
    expect(await reportSecurityViolation(engine, WORKSPACE, SOMEBODY, nobodys, FOUND)).toEqual(
      expect.any(NotFoundError),
    );
    await expect(poisonJob(engine, WORKSPACE, nobodys, FOUND)).rejects.toThrow(`There is no job ${nobodys}`);
  });

  test("a job of another workspace is not found by who reports, and stands as it is", async () => {
    const { jobId } = await submitted(engine);
    const before = await records(jobId);
    const elsewhere = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5c";
    expect(await reportSecurityViolation(engine, elsewhere, SOMEBODY, jobId, FOUND)).toEqual(expect.any(NotFoundError));
    expect(await records(jobId)).toEqual(before);
  });

  test.each([
    ["PROMPT_INJECTION", "ACE-014"],
    ["CLOUD_LEAKAGE", "ACE-013"],
    ["SENSITIVITY", "ACE-013"],
    ["UNKNOWN_SENSITIVITY", "ACE-013"],
    ["EXPORT", "ACE-013"],
  ] as const)("%s is %s", (type, code) => {
    expect(aceCodeOf(type)).toBe(code);
  });
});

async function failed(claim: Awaited<ReturnType<typeof started>>) {
  const { run, leaseToken } = claim;
  const report = { errorMessage: "no", retryable: false, metrics: NO_METRICS };
  return ok(await failWorkflow(engine, { workflowRunId: run.id, leaseToken, ...report })).job;
}

describe("what can still be done with a poisoned job", () => {
  test("nothing: every command is refused with JOB_POISONED, and changes nothing", async () => {
    const claim = await aBusyJob(engine);
    const { jobId } = claim.job;
    const report = { workflowRunId: claim.run.id, leaseToken: claim.leaseToken, metrics: NO_METRICS };
    await poisonJob(engine, WORKSPACE, jobId, FOUND);
    const before = await records(jobId);

    const commands = {
      start: await startWorkflow(engine, WORKSPACE, { jobId, workerId: "worker-2", leaseSeconds: 30 }),
      step: await advanceWorkflow(engine, aStep(claim, "write", { outcome: "SUCCEEDED" })),
      hostileStep: await advanceWorkflow(engine, {
        ...aStep(claim, "more"),
        retrievedSnippets: [aSnippet(HOSTILE, "doc-2")],
      }),
      complete: (
        await completeWorkflows(engine, [{ ...report, jobOutputs: { a: 1 }, writtenEntities: [], issues: [] }])
      )[0],
      fail: await failWorkflow(engine, { ...report, errorMessage: "no", retryable: true }),
      cancel: await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" }),
      retry: await retryAiJob(engine, WORKSPACE, SOMEBODY, jobId),
      heartbeat: (await heartbeatWorkflows(engine, [{ ...report, leaseSeconds: 30 }]))[0]?.error,
    };
    for (const [command, answer] of Object.entries(commands)) {
      expect({ command, answer }).toMatchObject({ command, answer: expect.any(JobPoisonedError) });
    }
    await expireLease(db, claim).catch(() => "refused by the database");
    await recoverStalledRuns(engine);
    expect(await records(jobId)).toEqual(before);
  });

  test("its worker is told STOP_POISONED at its next call", async () => {
    const { job, run, leaseToken } = await started(engine);
    await poisonJob(engine, WORKSPACE, job.jobId, FOUND);
    const heartbeat = { workflowRunId: run.id, leaseToken, leaseSeconds: 30, metrics: NO_METRICS };
    const [answer] = await heartbeatWorkflows(engine, [heartbeat]);
    expect(answer).toEqual({
      workflowRunId: run.id,
      directive: "STOP_POISONED",
      leaseExpiresAt: null,
      error: expect.any(JobPoisonedError),
    });
  });
});

test("a precondition that refuses keeps the job from being poisoned, and its refusal is passed on", async () => {
  const { jobId } = await submitted(engine);
  const before = await records(jobId);
  const refusal = new IllegalTransitionError("QUEUED", "RUNNING");
  expect(await poisonJob(engine, WORKSPACE, jobId, FOUND, { precondition: async () => refusal })).toEqual({
    action: "REFUSED",
    refusal,
  });
  expect(await records(jobId)).toEqual(before);
});

describe("what comes from outside is cut and redacted", () => {
  const reported = async (more: Partial<typeof FOUND>) => {
    const { jobId } = await submitted(engine);
    await poisonJob(engine, WORKSPACE, jobId, { ...FOUND, ...more });
    const { job, events } = await records(jobId);
    const [event] = events.slice(-1);
    return { job, payload: event?.payload };
  };

  test("a trigger to 200 characters, a description to 1,000", async () => {
    const { job, payload } = await reported({ trigger: "t".repeat(10_000), description: "d".repeat(10_000) });
    expect(payload).toMatchObject({ trigger: "t".repeat(200), description: "d".repeat(1000) });
    expect(job.errorMessage).toBe(`a person (ACE-013): ${"d".repeat(1000)}`);
  });

  test.each([
    ["just as long as they may be", "😀".repeat(200), "😀".repeat(200)],
    ["longer", "😀".repeat(201), "😀".repeat(200)],
    ["longer, and out of step by one", `a${"😀".repeat(300)}`, `a${"😀".repeat(199)}`],
  ])("characters of two units, %s, are not cut in halves", async (_, trigger, kept) => {
    const { payload } = await reported({ trigger, description: trigger.repeat(5) });
    expect(payload).toMatchObject({ trigger: kept });
    expect(JSON.stringify(payload).isWellFormed()).toBe(true);
  });

  const SECRET = "sk-live-0123456789abcdefghij";
  test.each([
    ["trigger", { trigger: `see ${SECRET}` }, { trigger: "see [redacted]" }],
    ["description", { description: `see ${SECRET}` }, { description: "see [redacted]" }],
    ["guard's name", { guardName: `guard ${SECRET}` }, { guard_name: "guard [redacted]" }],
    ["source", { sourceId: `https://me:${SECRET}@example.org/` }, { source_id: "[redacted]example.org/" }],
  ])("a secret in the %s is masked, everywhere", async (_, more, expected) => {
    const { job, payload } = await reported(more);
    expect(payload).toMatchObject(expected);
    expect(JSON.stringify([payload, job.errorMessage, job.statusReason])).not.toContain("0123456789");
  });

  test("a secret across the cut leaves nothing of itself", async () => {
    const { payload } = await reported({ trigger: `${"t".repeat(185)} ${SECRET}` });
    expect(payload).toMatchObject({ trigger: `${"t".repeat(185)} [redacted]` });
  });
});
