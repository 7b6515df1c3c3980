import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../../src/claims/acquire-lease.ts";
import { startWorkflow } from "../../../src/claims/start.ts";
import { Prisma } from "../../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { cancelAiJob } from "../../../src/jobs/cancel.ts";
import { deltaOfCalls } from "../../../src/jobs/metrics.ts";
import { submitAiJob } from "../../../src/jobs/submit.ts";
import type { ModelCall } from "../../../src/jobs/usage/model-usage.ts";
import { SYSTEM_ACTOR } from "../../../src/log/event.ts";
import { setQuota } from "../../../src/quotas/quota.ts";
import { readQuotaUsage } from "../../../src/quotas/usage.ts";
import { completeWorkflows } from "../../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../../src/runs/recover.ts";
import { reportUsage, type UsageReport } from "../../../src/runs/report-usage.ts";
import { reportSecurityViolation } from "../../../src/security/poison.ts";
import { aggregateTotals } from "../../../src/totals/aggregate.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, started } from "../../support/engine.ts";
import { claim as claimAgain, dueNow, expireLease, FOUND } from "../../support/jobs.ts";
import { expectSound, recordsOf } from "../../support/records.ts";
import { aCompletion, aFailure, aHeartbeat, failWorkflow } from "../../support/reports.ts";

/** Section 14: what was used counts, whatever has become of the run. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const CALL: ModelCall = {
  provider: "openai",
  model: "gpt-5",
  inputTokens: 100,
  cachedInputTokens: 20,
  outputTokens: 7,
  reasoningTokens: 3,
  costMicros: 1500,
};

function usageOf({ run, leaseToken }: Claim, more: Partial<UsageReport> = {}): UsageReport {
  return { workflowRunId: run.id, leaseToken, reportId: randomUUID(), usage: [CALL], ...more };
}

const send = async (claim: Claim, more: Partial<UsageReport> = {}) => reportUsage(engine, usageOf(claim, more));

async function soundRecords({ job }: Pick<Claim, "job">) {
  const records = await recordsOf(db.prisma, job.jobId);
  expectSound(records);
  return records;
}

async function cancel({ job }: Claim): Promise<void> {
  ok(await cancelAiJob(engine, job.workspaceId, SOMEBODY, { jobId: job.jobId, reason: "not needed" }));
}

async function poison({ job }: Claim): Promise<void> {
  ok(await reportSecurityViolation(engine, job.workspaceId, SYSTEM_ACTOR, job.jobId, FOUND));
}

const complete = (needsValidation: boolean) => async (claim: Claim) => {
  const [answer] = await completeWorkflows(engine, [aCompletion(claim, { needsValidation })]);
  ok(answer);
};

const ENDINGS: readonly { readonly run: string; readonly isLate: boolean; readonly end: (claim: Claim) => unknown }[] =
  [
    { run: "that runs", isLate: false, end: () => undefined },
    { run: "whose lease has expired", isLate: true, end: (claim) => expireLease(db, claim) },
    {
      run: "that is stalled",
      isLate: true,
      end: async (claim) => {
        await expireLease(db, claim);
        await recoverStalledRuns(engine);
      },
    },
    { run: "that was cancelled", isLate: true, end: cancel },
    { run: "that has completed", isLate: true, end: complete(false) },
    { run: "that awaits a verdict", isLate: true, end: complete(true) },
    {
      run: "that has failed for good",
      isLate: true,
      end: async (claim) => ok(await failWorkflow(engine, aFailure(claim, { retryable: false }))),
    },
  ];

describe("the usage of a run", () => {
  test.each(ENDINGS)("$run is counted as a version that keeps the state", async ({ isLate, end }) => {
    const claim = await started(engine);
    await end(claim);
    const before = (await soundRecords(claim)).job;
    expect(ok(await send(claim))).toMatchObject({ isLate, job: { state: before.state } });
    const { job, events } = await soundRecords(claim);
    const { state, statusReason, completedAt, version } = before;
    expect(job).toMatchObject({
      state,
      statusReason,
      completedAt,
      version: version + 1,
      inputTokens: before.inputTokens + 120n,
      outputTokens: before.outputTokens + 10n,
      costMicros: 1500n,
    });
    expect(events.at(-1)).toMatchObject({
      type: "METRICS_RECORDED",
      actor: "AGENT",
      actorId: "worker-1",
      workflowRunId: claim.run.id,
      payload: { cost_micros: 1500, delta: { inputTokens: 120, outputTokens: 10 } },
    });
  });

  test("is a run's whose job has gone on with another one, and leaves that run alone", async () => {
    const first = await started(engine);
    ok(await failWorkflow(engine, aFailure(first)));
    await dueNow(engine, first.job.jobId);
    const second = await claimAgain(engine, first.job.jobId, "worker-2");
    expect(ok(await send(first))).toMatchObject({ isLate: true, job: { state: "RUNNING" } });
    const { events } = await soundRecords(first);
    expect(events.at(-1)).toMatchObject({ workflowRunId: first.run.id, actorId: "worker-1" });
    const [beat] = await heartbeatWorkflows(engine, [aHeartbeat(second)]);
    expect(beat).toMatchObject({ directive: "CONTINUE" });
  });

  test("is counted once, however often it is sent", async () => {
    const claim = await started(engine);
    await cancel(claim);
    const reportId = randomUUID();
    for (let time = 0; time < 3; time++) ok(await send(claim, { reportId }));
    expect((await soundRecords(claim)).job.costMicros).toBe(1500n);
  });

  test.each<[string, boolean]>([
    ["a run that was cancelled", false],
    ["a poisoned one", true],
  ])("of %s is refused with the id of another report", async (_, isPoisoned) => {
    const claim = await started(engine);
    const reportId = randomUUID();
    ok(await send(claim, { reportId }));
    await (isPoisoned ? poison(claim) : cancel(claim));
    const refused = await send(claim, { reportId, usage: [CALL, CALL] });
    expect(refused).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "reportId"] });
    expect(await send(claim, { reportId })).toMatchObject({ isLate: true });
    const beat = randomUUID();
    const other = await started(engine);
    await heartbeatWorkflows(engine, [aHeartbeat(other, { reportId: beat })]);
    expect(await send(other, { reportId: beat })).toMatchObject({ code: "INVALID_INPUT" });
  });

  describe("sent under the id of a report that brought it, of which the worker does not know whether it was kept,", () => {
    const beat = async (claim: Claim, id: string) => {
      const [answer] = await heartbeatWorkflows(engine, [
        aHeartbeat(claim, { metrics: deltaOfCalls([CALL]), reportId: id }),
      ]);
      return answer?.error?.code ?? null;
    };

    test.each<[string, (claim: Claim, reportId: string) => Promise<void>]>([
      [
        "is refused where it was kept",
        async (claim, reportId) => {
          expect(await beat(claim, reportId)).toBeNull();
          await expireLease(db, claim);
          // What the worker hears when it sends the report again: the same as if it had not been kept.
          expect(await beat(claim, reportId)).toBe("LEASE_LOST");
          const refused = { code: "INVALID_INPUT", inputPath: ["input", "reportId"] };
          expect(await send(claim, { reportId })).toMatchObject(refused);
        },
      ],
      [
        "is counted where it was refused",
        async (claim, reportId) => {
          await expireLease(db, claim);
          expect(await beat(claim, reportId)).toBe("LEASE_LOST");
          ok(await send(claim, { reportId }));
        },
      ],
      [
        "is counted where it has not arrived yet, and is refused then",
        async (claim, reportId) => {
          ok(await send(claim, { reportId }));
          expect(await beat(claim, reportId)).toBe("INVALID_INPUT");
        },
      ],
    ])("%s: once", async (_, act) => {
      const claim = await started(engine);
      await act(claim, randomUUID());
      expect((await soundRecords(claim)).job.costMicros).toBe(1500n);
      expect(await db.prisma.usageEntry.count({ where: { workflowRunId: claim.run.id } })).toBe(1);
    });
  });

  test.each<[string, Partial<UsageReport>]>([
    ["another token", { leaseToken: "A".repeat(43) }],
    ["another run", { workflowRunId: randomUUID() }],
    ["another workspace", { workspaceId: randomUUID() }],
  ])("is LEASE_LOST with %s", async (_, more) => {
    const claim = await started(engine);
    expect(await send(claim, more)).toMatchObject({ code: "LEASE_LOST" });
    expect((await soundRecords(claim)).job.version).toBe(claim.job.version);
  });

  test("is LEASE_LOST from another principal than the one that claimed it", async () => {
    const claim = await started(engine);
    await db.prisma.$executeRaw`ALTER TABLE workflow_runs DISABLE TRIGGER USER`;
    await db.prisma.$executeRaw`UPDATE workflow_runs SET principal_id = 'key:1' WHERE id = ${claim.run.id}::uuid`;
    await db.prisma.$executeRaw`ALTER TABLE workflow_runs ENABLE TRIGGER USER`;
    expect(await send(claim, { principalId: "key:2" })).toMatchObject({ code: "LEASE_LOST" });
    expect(await send(claim, { principalId: "key:1" })).toMatchObject({ isLate: false });
  });

  test("is taken for 24 hours after the run has ended, and a repeat for ever", async () => {
    const claim = await started(engine);
    await cancel(claim);
    const endedAgo = async (interval: string) => {
      await db.prisma.$executeRaw`ALTER TABLE workflow_runs DISABLE TRIGGER USER`;
      await db.prisma.$executeRaw`
        UPDATE workflow_runs SET finished_at = clock_timestamp() - ${interval}::interval WHERE id = ${claim.run.id}::uuid`;
      await db.prisma.$executeRaw`ALTER TABLE workflow_runs ENABLE TRIGGER USER`;
    };
    const reportId = randomUUID();
    await endedAgo("23 hours 59 minutes");
    ok(await send(claim, { reportId }));
    await endedAgo("24 hours 1 second");
    expect(await send(claim)).toMatchObject({ code: "LEASE_LOST" });
    expect(await send(claim, { reportId })).toMatchObject({ isLate: true });
  });

  test("is refused where a sum would grow beyond 2^53 - 1, and nothing is kept", async () => {
    const claim = await started(engine);
    ok(await send(claim, { usage: [{ ...CALL, inputTokens: Number.MAX_SAFE_INTEGER - 30 }] }));
    expect(await send(claim)).toMatchObject({ code: "INVALID_INPUT" });
    expect(await db.prisma.usageEntry.count({ where: { workflowRunId: claim.run.id } })).toBe(1);
  });
});

describe("usage that passes a budget", () => {
  const queuedAgain = async (claim: Claim) => ok(await failWorkflow(engine, aFailure(claim)));

  test.each<[string, object, (claim: Claim) => unknown]>([
    ["of tokens, of a job that runs", { tokenBudget: 100 }, () => undefined],
    ["of cost, of a job that runs", { costBudgetMicros: 1499 }, () => undefined],
    ["of cost, of a job that is queued again", { costBudgetMicros: 1499 }, queuedAgain],
    ["of tokens, of a job that awaits a verdict", { tokenBudget: 100 }, complete(true)],
  ])("%s, fails it", async (_, budget, end) => {
    const claim = await started(engine, budget);
    await end(claim);
    expect(ok(await send(claim))).toMatchObject({ job: { state: "FAILED", statusReason: "budget_exceeded" } });
    const { job, runs, events } = await soundRecords(claim);
    expect(job).toMatchObject({ costMicros: 1500n, jobOutputs: null, runAfter: null });
    expect(runs.every(({ finishedAt, leaseExpiresAt }) => finishedAt !== null && leaseExpiresAt === null)).toBe(true);
    expect(events.slice(-2)).toMatchObject([
      { type: "METRICS_RECORDED" },
      { type: "STATE_CHANGED", state: "FAILED", payload: { reason: "budget_exceeded", ace_code: "ACE-001" } },
    ]);
    const [beat] = await heartbeatWorkflows(engine, [aHeartbeat(claim)]);
    expect(beat).toMatchObject({ directive: "STOP_FAILED" });
  });

  test.each<[string, (claim: Claim) => unknown, string]>([
    ["has completed", complete(false), "COMPLETED"],
    ["was cancelled", cancel, "CANCELLED"],
  ])("leaves a job that %s as it is", async (_, end, state) => {
    const claim = await started(engine, { tokenBudget: 100, costBudgetMicros: 1 });
    await end(claim);
    expect(ok(await send(claim))).toMatchObject({ job: { state, costMicros: 1500n } });
    await soundRecords(claim);
  });
});

describe("a poisoned job", () => {
  test("stays as it is, its runs and events, too; the ledger has its usage, once", async () => {
    const claim = await started(engine);
    await poison(claim);
    const before = await soundRecords(claim);
    const reportId = randomUUID();
    for (let time = 0; time < 3; time++)
      expect(ok(await send(claim, { reportId }))).toMatchObject({ isLate: true, job: { state: "POISONED" } });
    expect(await soundRecords(claim)).toEqual(before);
    const entries = await db.prisma.usageEntry.findMany({ where: { jobId: claim.job.jobId } });
    expect(entries).toMatchObject([{ version: null, reportId, calls: 1, costMicros: 1500n }]);
  });
});

describe("quotas of tokens and of cost count", () => {
  async function usedOf(workspaceId: string): Promise<readonly bigint[]> {
    const quotas = await readQuotaUsage(db.prisma, Prisma.sql`workspace_id = ${workspaceId}::uuid`);
    return quotas.map(({ used }) => used);
  }

  async function inOwnWorkspace(): Promise<{ readonly workspaceId: string; readonly claim: Claim }> {
    const workspaceId = randomUUID();
    for (const resource of ["TOKENS", "COST"] as const) {
      const quota = { capabilityProfileId: null, resource, max: 1_000_000, windowSeconds: 3600 };
      ok(await setQuota(engine, workspaceId, quota));
    }
    return { workspaceId, claim: await startedIn(workspaceId) };
  }

  async function startedIn(workspaceId: string): Promise<Claim> {
    const { jobId } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit())).job;
    const claim = ok(await startWorkflow(engine, workspaceId, { jobId, workerId: "worker-1", leaseSeconds: 30 }));
    if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
    return claim;
  }

  test.each([
    ["cancelled", cancel],
    ["poisoned", poison],
  ])("what a %s job has used, before it is aggregated and after", async (_, end) => {
    const { workspaceId, claim } = await inOwnWorkspace();
    await end(claim);
    ok(await send(claim));
    expect(await usedOf(workspaceId)).toEqual([130n, 1500n]);
    await aggregateTotals(serverSide(db).prisma);
    expect(await usedOf(workspaceId)).toEqual([130n, 1500n]);
    ok(await send(claim));
    expect(await usedOf(workspaceId)).toEqual([260n, 3000n]);
    // In small batches as in one.
    await aggregateTotals(serverSide(db).prisma, 1);
    await aggregateTotals(serverSide(db).prisma);
    expect(await usedOf(workspaceId)).toEqual([260n, 3000n]);
  });
});
