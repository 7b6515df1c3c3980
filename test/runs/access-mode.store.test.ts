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
import { expectSound, recordsOf } from "../support/records.ts";
import { aCompletion, aHeartbeat, reportOutcome, SORTS } from "../support/reports.ts";

/** A report of writes that the job's access mode forbids fails the run, and nothing of it is applied (section 6). */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = ({ job }: Claim) => recordsOf(db.prisma, job.jobId);
const WRITTEN = { ...NO_METRICS, entitiesWritten: 1, inputTokens: 7, durationMs: 90 };
const VIOLATION = "ACCESS_MODE_VIOLATION STOP_FAILED";
const doc = (entityId: string) => ({ entityKind: "document", entityId });

/** A running job with an open node, which every report leaves as it is but for ending it. */
async function held(accessMode: "ANALYSIS_ONLY" | "PREVIEW_ONLY" | "APPLY_SCOPED"): Promise<Claim> {
  const taken = await started(engine, { accessMode, entityRefs: [doc("d-1")], maxAttempts: 5 });
  ok(await advanceWorkflow(engine, aStep(taken, "open")));
  return taken;
}

describe.each(SORTS)("$report of written entities", ({ prepare, send }) => {
  test.each(["ANALYSIS_ONLY", "PREVIEW_ONLY"] as const)("fails the run of a job that is %s", async (accessMode) => {
    const taken = await held(accessMode);
    await prepare?.(engine, taken);
    const before = await records(taken);
    const report = { reportId: randomUUID(), metrics: WRITTEN };
    expect(reportOutcome(await send(engine, taken, report))).toBe(VIOLATION);

    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({
      state: "FAILED",
      statusReason: "access_mode_violation",
      version: before.job.version + 1,
      jobOutputs: null,
      issues: [],
      runAfter: null,
      ...metricsOf(before.job),
    });
    expect(after.job.errorMessage).toContain(accessMode);
    expect(after.runs).toMatchObject([{ state: "FAILED", leaseExpiresAt: null }]);
    // What was open has ended with the run; of the report's own step there is nothing.
    expect(after.nodes.map(({ nodeId, state, outputPayload }) => [nodeId, state, outputPayload])).toEqual(
      before.nodes.map(({ nodeId }) => [nodeId, "FAILED", null]),
    );
    expect(after.events.at(-1)).toMatchObject({
      type: "STATE_CHANGED",
      actor: "AGENT",
      actorId: "worker-1",
      previousState: "RUNNING",
      state: "FAILED",
      payload: { reason: "access_mode_violation", detail: expect.stringContaining(accessMode) },
    });

    expect(reportOutcome(await send(engine, taken, report))).toBe(VIOLATION);
    expect(reportOutcome(await send(engine, taken, { metrics: WRITTEN }))).toBe("ILLEGAL_TRANSITION STOP_FAILED");
    expect(await records(taken)).toEqual(after);
  });
});

describe("a job that is APPLY_SCOPED", () => {
  test("may write, and its count grows with each report", async () => {
    const taken = await held("APPLY_SCOPED");
    const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(taken, { metrics: WRITTEN })]);
    expect(answer).toMatchObject({ directive: "CONTINUE", error: null });
    const step = aStep(taken, "open", { outcome: "SUCCEEDED" });
    ok(await advanceWorkflow(engine, { ...step, metrics: WRITTEN }));
    const [done] = await completeWorkflows(engine, [
      aCompletion(taken, { metrics: WRITTEN, writtenEntities: [doc("d-1")] }),
    ]);
    expect(done).toMatchObject({ job: { state: "COMPLETED", entitiesWritten: 3n } });
  });

  test.each(SORTS)("with nothing in its entityRefs may write nothing, by $report", async ({ prepare, send }) => {
    const taken = await started(engine, { accessMode: "APPLY_SCOPED", entityRefs: [], maxAttempts: 5 });
    ok(await advanceWorkflow(engine, aStep(taken, "open")));
    await prepare?.(engine, taken);
    expect(reportOutcome(await send(engine, taken, { metrics: WRITTEN }))).toBe(VIOLATION);
    const after = await records(taken);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "FAILED", statusReason: "access_mode_violation", entitiesWritten: 0n });
  });

  test("may not write what is not in its entityRefs, whoever is to validate it", async () => {
    const taken = await started(engine, { accessMode: "APPLY_SCOPED", entityRefs: [doc("d-1")] });
    const completion = aCompletion(taken, { needsValidation: true, writtenEntities: [doc("d-2")], metrics: WRITTEN });
    const [answer] = await completeWorkflows(engine, [completion]);
    expect(answer).toMatchObject({ code: "ACCESS_MODE_VIOLATION", message: expect.stringContaining("d-2") });
    expect((await records(taken)).job).toMatchObject({ state: "FAILED", jobOutputs: null, entitiesWritten: 0n });
  });
});

test("a violation in a batch of heartbeats fails its own job, in as many statements for 20 as for two", async () => {
  const claims: Claim[] = [];
  for (let count = 0; count < 22; count++) claims.push(await started(engine));
  const metrics = (at: number) => (at % 2 === 0 ? WRITTEN : { ...WRITTEN, entitiesWritten: 0 });
  const batch = claims.map((taken, at) => aHeartbeat(taken, { reportId: randomUUID(), metrics: metrics(at) }));
  db.statements();
  await heartbeatWorkflows(engine, batch.slice(0, 2));
  const forTwo = db.statements().length;
  const answers = await heartbeatWorkflows(engine, batch.slice(2));
  expect(db.statements().length).toBe(forTwo);
  expect(answers.map(({ error }) => reportOutcome(error))).toEqual(
    answers.map((_, at) => (at % 2 === 0 ? VIOLATION : "done")),
  );
  expect(await heartbeatWorkflows(engine, batch)).toMatchObject(
    batch.map((_, at) => ({ directive: at % 2 === 0 ? "STOP_FAILED" : "CONTINUE" })),
  );
});
