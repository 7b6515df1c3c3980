import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started } from "../support/engine.ts";
import { claim, dueNow } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aFailure, aHeartbeat, failWorkflow, reportOutcome, SORTS, type Sort } from "../support/reports.ts";

/** A job whose metrics pass its token budget fails with ACE-001; what crossed it is kept (section 6). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = ({ job }: Claim) => recordsOf(db.prisma, job.jobId);
const tokens = (count: number) => ({ ...NO_METRICS, inputTokens: count - 1, outputTokens: 1, durationMs: 5 });
const EXCEEDED = "BUDGET_EXCEEDED STOP_FAILED";
/** A failure is what its worker asked for: it is answered so, and not tried again. */
const isFailure = ({ to }: Sort) => to === "FAILED";

/** A running job with an open node where the report ends one. */
async function held({ prepare }: Sort, tokenBudget: number): Promise<Claim> {
  const taken = await started(engine, { tokenBudget, maxAttempts: 5 });
  await prepare?.(engine, taken);
  return taken;
}

describe.each(SORTS)("$report", (sort) => {
  test("that comes to the budget exactly is within it", async () => {
    const taken = await held(sort, 100);
    expect(reportOutcome(await sort.send(engine, taken, { metrics: tokens(100) }))).toBe("done");
    const { job } = await records(taken);
    expect(job).toMatchObject({ totalTokens: 100n });
    expect(job.statusReason).not.toBe("budget_exceeded");
  });

  test("that passes the budget fails the job for good, and what it has cost is kept", async () => {
    const taken = await held(sort, 100);
    await heartbeatWorkflows(engine, [aHeartbeat(taken, { metrics: tokens(60) })]);
    const before = await records(taken);
    const answer = await sort.send(engine, taken, { metrics: tokens(41) });
    expect(reportOutcome(answer)).toBe(isFailure(sort) ? "done" : EXCEEDED);

    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({
      state: "FAILED",
      statusReason: "budget_exceeded",
      jobOutputs: null,
      issues: [],
      runAfter: null,
      totalTokens: 101n,
      inputTokens: 99n,
      outputTokens: 2n,
      durationMs: 10n,
      completedAt: null,
    });
    expect(after.runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null, errorMessage: after.job.errorMessage }]);
    expect(after.nodes.filter(({ finishedAt }) => finishedAt === null)).toEqual([]);
    expect(after.job.errorMessage).toContain(isFailure(sort) ? "out of memory" : "ACE-001");

    const events = after.events.slice(before.job.version);
    expect(events.map(({ type, state }) => `${type} ${state}`)).toEqual(versionsOf(sort));
    expect(events.at(-1)).toMatchObject({
      totalTokens: 101n,
      payload: { reason: "budget_exceeded", ace_code: "ACE-001" },
    });
    expect(reportOutcome(await sort.send(engine, taken, { metrics: tokens(1) }))).toBe(
      "ILLEGAL_TRANSITION STOP_FAILED",
    );
    expect(await records(taken)).toEqual(after);
  });

  test("that passed the budget is told so again under its reportId, and counts once", async () => {
    const taken = await held(sort, 10);
    const report = { reportId: randomUUID(), metrics: tokens(11) };
    const first = await sort.send(engine, taken, report);
    const after = await records(taken);
    const again = await sort.send(engine, taken, report);
    expect(reportOutcome(again)).toBe(reportOutcome(first));
    expect(messageOf(again)).toBe(messageOf(first));
    expect(await records(taken)).toEqual(after);
    const [other] = await heartbeatWorkflows(engine, [aHeartbeat(taken, { reportId: randomUUID() })]);
    expect(reportOutcome(other?.error)).toBe("ILLEGAL_TRANSITION STOP_FAILED");
  });
});

/** Section 4's table: a heartbeat and a step are kept in a version of their own, and then the job fails. */
function versionsOf({ report }: Sort): string[] {
  if (report === "a heartbeat") return ["METRICS_RECORDED RUNNING", "STATE_CHANGED FAILED"];
  if (report.startsWith("a step")) return ["NODE_CHANGED RUNNING", "STATE_CHANGED FAILED"];
  return ["STATE_CHANGED FAILED"];
}

function messageOf(answer: unknown): string {
  return answer instanceof Error ? answer.message : "none";
}

describe("a budget", () => {
  test("of 0 allows a job that costs no token, and nothing more", async () => {
    const free = await started(engine, { tokenBudget: 0 });
    const metrics = { ...NO_METRICS, durationMs: 5, entitiesRead: 3 };
    const [beat] = await heartbeatWorkflows(engine, [aHeartbeat(free, { metrics })]);
    expect(beat).toMatchObject({ directive: "CONTINUE", error: null });
    const [done] = await completeWorkflows(engine, [
      { ...aHeartbeat(free), jobOutputs: null, writtenEntities: [], issues: [] },
    ]);
    expect(done).toMatchObject({ job: { state: "COMPLETED" } });
    const costly = await started(engine, { tokenBudget: 0 });
    const one = { ...NO_METRICS, outputTokens: 1 };
    const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(costly, { metrics: one })]);
    expect(answer).toMatchObject({
      directive: "STOP_FAILED",
      leaseExpiresAt: null,
      error: { code: "BUDGET_EXCEEDED" },
    });
    expect((await records(costly)).job).toMatchObject({ state: "FAILED", totalTokens: 1n });
  });

  test("counts what all attempts have cost together", async () => {
    const first = await started(engine, { tokenBudget: 100 });
    ok(await failWorkflow(engine, aFailure(first, { metrics: tokens(70) })));
    await dueNow(engine, first.job.jobId);
    const second = await claim(engine, first.job.jobId);
    const answer = await advanceWorkflow(engine, { ...aStep(second, "n"), metrics: tokens(31) });
    expect(answer).toMatchObject({ code: "BUDGET_EXCEEDED", message: expect.stringContaining("101") });
    expect((await records(first)).job).toMatchObject({ state: "FAILED", totalTokens: 101n, attempt: 2 });
  });

  test("is passed by no report that is refused: metrics that cannot be, a lease that is lost", async () => {
    const taken = await started(engine, { tokenBudget: 100 });
    const before = await records(taken);
    const split = { ...tokens(101), tokensPlanner: 102 };
    const [refused] = await heartbeatWorkflows(engine, [aHeartbeat(taken, { metrics: split })]);
    expect(refused).toMatchObject({ directive: "CONTINUE", error: { code: "INVALID_INPUT" } });
    const lost = aHeartbeat(taken, { metrics: tokens(101), leaseToken: "A".repeat(43) });
    expect(await heartbeatWorkflows(engine, [lost])).toMatchObject([{ error: { code: "LEASE_LOST" } }]);
    const { job } = await records(taken);
    expect({ ...metricsOf(job), state: job.state }).toEqual({ ...metricsOf(before.job), state: "RUNNING" });
  });

  test("that one heartbeat of a batch passes fails its own job only, in as many statements for 30 as for two", async () => {
    const claims: Claim[] = [];
    for (let count = 0; count < 32; count++) claims.push(await started(engine, { tokenBudget: 10 }));
    const batch = claims.map((taken, at) =>
      aHeartbeat(taken, { reportId: randomUUID(), metrics: tokens(at % 2 === 0 ? 11 : 10) }),
    );
    db.statements();
    await heartbeatWorkflows(engine, batch.slice(0, 2));
    const forTwo = db.statements().length;
    const answers = await heartbeatWorkflows(engine, batch.slice(2));
    expect(db.statements().length).toBe(forTwo);
    expect(answers.map(({ directive }) => directive)).toEqual(
      answers.map((_, at) => (at % 2 === 0 ? "STOP_FAILED" : "CONTINUE")),
    );
    for (const [at, taken] of claims.entries()) {
      expect((await records(taken)).job.state).toBe(at % 2 === 0 ? "FAILED" : "RUNNING");
    }
  });
});
