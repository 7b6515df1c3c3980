import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { LeaseLostError } from "../../src/errors.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started, WORKSPACE } from "../support/engine.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

/** The worker is not heard from until its lease has passed. */
async function loseLease({ run }: Claim): Promise<void> {
  await db.prisma.$executeRaw`
    UPDATE workflow_runs SET lease_expires_at = clock_timestamp() - interval '1 second' WHERE id = ${run.id}::uuid`;
}

function jobOf(claim: Claim) {
  return db.prisma.aiJob.findUniqueOrThrow({
    where: { jobId: claim.job.jobId },
    include: { events: { orderBy: { version: "asc" } }, workflowRun: { include: { nodes: true } } },
  });
}

test("a run whose lease has passed stalls with its open nodes, and its job is queued again for later", async () => {
  const engine = engineOn(db);
  const claim = await started(engine);
  ok(await advanceWorkflow(engine, aStep(claim, "open")));
  await loseLease(claim);

  expect(await recoverStalledRuns(engine)).toBe(1);

  const job = await jobOf(claim);
  expect(job).toMatchObject({ state: "QUEUED", statusReason: "retry_scheduled", version: 5, attempt: 1 });
  expect(job.runAfter?.getTime()).toBeGreaterThan(job.updatedAt.getTime());
  expect(job.workflowRun).toMatchObject({ state: "STALLED", leaseExpiresAt: null, nodes: [{ state: "STALLED" }] });
  expect(job.events.slice(-2)).toMatchObject([
    { type: "WORKFLOW_RECOVERY", actor: "SYSTEM", state: "STALLED", payload: { worker_id: "worker-1", attempt: 1 } },
    { type: "STATE_CHANGED", actor: "SYSTEM", state: "QUEUED", previousState: "STALLED" },
  ]);
});

test("a job without attempts left fails", async () => {
  const engine = engineOn(db);
  const claim = await started(engine, { maxAttempts: 1 });
  await loseLease(claim);
  await recoverStalledRuns(engine);
  expect(await jobOf(claim)).toMatchObject({ state: "FAILED", statusReason: "lease_expired", version: 4 });
});

test("a lease that holds, or was renewed in time, is left alone", async () => {
  const engine = engineOn(db);
  const claim = await started(engine);
  const { run, leaseToken } = claim;
  await heartbeatWorkflows(engine, [{ workflowRunId: run.id, leaseToken, leaseSeconds: 60, metrics: NO_METRICS }]);
  expect(await recoverStalledRuns(engine)).toBe(0);
  expect(await jobOf(claim)).toMatchObject({ state: "RUNNING", version: 2 });
});

test("sweeps that run at once recover each run once", async () => {
  const engine = engineOn(db);
  const claims = await Promise.all(Array.from({ length: 30 }, () => started(engine)));
  await Promise.all(claims.map(loseLease));
  const counts = await Promise.all(Array.from({ length: 4 }, () => recoverStalledRuns(engine)));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(30);
  for (const claim of claims) expect(await jobOf(claim)).toMatchObject({ state: "QUEUED", version: 4 });
});

test("a sweep that is stopped recovers no further batch", async () => {
  const engine = engineOn(db);
  const claims: Claim[] = [];
  for (let count = 0; count < 120; count++) claims.push(await started(engine));
  await Promise.all(claims.map(loseLease));
  const stopping = new AbortController();
  const sweep = recoverStalledRuns(engine, stopping.signal);
  stopping.abort();
  expect(await sweep).toBe(100);
  expect(await recoverStalledRuns(engine, stopping.signal)).toBe(0);
  expect(await recoverStalledRuns(engine)).toBe(20);
});

test("the worker of a recovered run has lost its lease for good", async () => {
  const engine = engineOn(db);
  const claim = await started(engine);
  await loseLease(claim);
  await recoverStalledRuns(engine);
  expect(await advanceWorkflow(engine, aStep(claim, "late"))).toBeInstanceOf(LeaseLostError);
  expect(await jobOf(claim)).toMatchObject({ state: "QUEUED", version: 4 });
});

test("a poisoned job is never recovered", async () => {
  const engine = engineOn(db);
  const claim = await started(engine);
  await loseLease(claim);
  await poisonJob(engine, WORKSPACE, claim.job.jobId, {
    violationType: "EXPORT",
    aceCode: "ACE-013",
    guardName: "a person",
    trigger: "page 1",
    description: "It may not leave.",
    sourceId: null,
  });
  expect(await recoverStalledRuns(engine)).toBe(0);
  expect(await jobOf(claim)).toMatchObject({ state: "POISONED", workflowRun: { state: "POISONED" } });
});
