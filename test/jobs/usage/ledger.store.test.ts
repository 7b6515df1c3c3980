import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../../src/engine.ts";
import { deltaOfCalls, type MetricsDelta, NO_METRICS } from "../../../src/jobs/metrics.ts";
import { retryAiJob } from "../../../src/jobs/retry.ts";
import type { ModelCall } from "../../../src/jobs/usage/model-usage.ts";
import { advanceWorkflow } from "../../../src/runs/advance.ts";
import { completeWorkflows } from "../../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../../src/runs/heartbeat.ts";
import { openTestDatabase, type TestDatabase } from "../../support/database.ts";
import { aStep, engineOn, ok, SOMEBODY, started, WORKSPACE } from "../../support/engine.ts";
import { expectSound, recordsOf } from "../../support/records.ts";
import { aCompletion, aFailure, aHeartbeat, failWorkflow, SORTS } from "../../support/reports.ts";

/** Section 14: what reports bring of calls of models is in the ledger, in the job's metrics and in its cost, once. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

function call(more: Partial<ModelCall> = {}): ModelCall {
  const counters = { inputTokens: 100, cachedInputTokens: 20, outputTokens: 7, reasoningTokens: 3, costMicros: 1500 };
  return { provider: "openai", model: "gpt-5", ...counters, ...more };
}

const CALLS = [call(), call({ model: "small", costMicros: 1 }), call({ cachedInputTokens: 0 })];
const METRICS = deltaOfCalls(CALLS);

const entriesOf = ({ run }: Claim) =>
  db.prisma.usageEntry.findMany({ where: { workflowRunId: run.id }, orderBy: { id: "asc" } });

async function jobOf({ run }: Claim) {
  const records = await recordsOf(db.prisma, run.jobId);
  expectSound(records);
  return records.job;
}

describe("calls of models", () => {
  test.each(SORTS)("come with $report, by model, and are counted with its version", async ({ prepare, send }) => {
    const claim = await started(engine);
    await prepare?.(engine, claim);
    ok(await send(engine, claim, { metrics: METRICS, reportId: randomUUID() }));
    const job = await jobOf(claim);
    expect(job).toMatchObject({ inputTokens: 340n, outputTokens: 30n, totalTokens: 370n, costMicros: 3001n });
    const { version, orderXid, capabilityProfileId } = job;
    const event = await db.prisma.flightRecorderEvent.findUniqueOrThrow({
      where: { jobId_version: { jobId: job.jobId, version } },
    });
    expect(event.payload).toMatchObject({ cost_micros: 3001 });
    const position = { version, orderXid, capabilityProfileId, recordedAt: event.recordedAt, reportId: null };
    expect(await entriesOf(claim)).toMatchObject([
      {
        ...position,
        provider: "openai",
        model: "gpt-5",
        calls: 2,
        inputTokens: 200n,
        cachedInputTokens: 20n,
        outputTokens: 14n,
        reasoningTokens: 6n,
        costMicros: 3000n,
      },
      { ...position, model: "small", calls: 1, inputTokens: 100n, cachedInputTokens: 20n, costMicros: 1n },
    ]);
  });

  test.each(SORTS)("are counted once, however often $report is sent", async ({ prepare, send }) => {
    const claim = await started(engine);
    await prepare?.(engine, claim);
    const reportId = randomUUID();
    for (let time = 0; time < 3; time++) ok(await send(engine, claim, { metrics: METRICS, reportId }));
    expect((await jobOf(claim)).costMicros).toBe(3001n);
    expect(await entriesOf(claim)).toHaveLength(2);
  });

  test("of a step are its execution's", async () => {
    const claim = await started(engine);
    ok(await advanceWorkflow(engine, { ...aStep(claim, "think"), metrics: deltaOfCalls([call()]) }));
    const ended = { ...aStep(claim, "think", { outcome: "SUCCEEDED" }), metrics: deltaOfCalls([call(), call()]) };
    const answer = ok(await advanceWorkflow(engine, ended));
    if (!("node" in answer)) throw new Error("The step was poisoned.");
    expect(await entriesOf(claim)).toMatchObject([
      { nodeExecutionId: answer.node.id, calls: 1 },
      { nodeExecutionId: answer.node.id, calls: 2 },
    ]);
  });

  test("that used nothing are calls all the same", async () => {
    const claim = await started(engine);
    const nothing = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0, costMicros: 0 };
    const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(claim, { metrics: deltaOfCalls([call(nothing)]) })]);
    expect(answer).toMatchObject({ directive: "CONTINUE", error: null });
    expect(await entriesOf(claim)).toMatchObject([{ calls: 1, inputTokens: 0n, costMicros: 0n }]);
    expect(await jobOf(claim)).toMatchObject({ version: claim.job.version + 1, costMicros: 0n });
  });

  test.each<[string, Partial<MetricsDelta>, string]>([
    ["other input tokens", { inputTokens: 341 }, "inputTokens"],
    ["other output tokens", { outputTokens: 0 }, "outputTokens"],
  ])("with %s than the metrics are refused, and the lease is renewed", async (_, more, name) => {
    const claim = await started(engine);
    const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(claim, { metrics: { ...METRICS, ...more } })]);
    expect(answer).toMatchObject({ directive: "CONTINUE", error: { code: "INVALID_INPUT" } });
    expect(answer?.error).toMatchObject({ inputPath: ["input", "heartbeats", "0", "metrics", name] });
    expect(await entriesOf(claim)).toEqual([]);
  });

  test("whose cost is more than a number may be are refused", async () => {
    const claim = await started(engine);
    const costly = deltaOfCalls([call({ costMicros: Number.MAX_SAFE_INTEGER })]);
    ok(await completeOrBeat(claim, costly));
    const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(claim, { metrics: deltaOfCalls([call()]) })]);
    expect(answer?.error).toMatchObject({ code: "INVALID_INPUT", inputPath: expect.arrayContaining(["usage"]) });
    expect(await jobOf(claim)).toMatchObject({ costMicros: BigInt(Number.MAX_SAFE_INTEGER) });
  });

  async function completeOrBeat(claim: Claim, metrics: MetricsDelta) {
    const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(claim, { metrics })]);
    return answer?.error ?? answer;
  }
});

describe("a job over its cost budget", () => {
  const costing = (costMicros: number): MetricsDelta => ({ ...NO_METRICS, usage: [{ ...NO_CALL, costMicros }] });
  const NO_CALL = call({ inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0, costMicros: 0 });

  test("may use exactly that", async () => {
    const claim = await started(engine, { costBudgetMicros: 10 });
    const [answer] = await completeWorkflows(engine, [aCompletion(claim, { metrics: costing(10) })]);
    expect(ok(answer)).toMatchObject({ job: { state: "COMPLETED", costMicros: 10n } });
  });

  test.each(SORTS)("fails with $report, which is kept", async ({ report, prepare, send }) => {
    const claim = await started(engine, { costBudgetMicros: 10, maxAttempts: 9 });
    await prepare?.(engine, claim);
    const answer = await send(engine, claim, { metrics: costing(11), reportId: randomUUID() });
    // A failure asks for nothing else than to fail, and is answered so.
    const expected = report.startsWith("a failure")
      ? { job: { state: "FAILED" } }
      : { code: "BUDGET_EXCEEDED", directive: "STOP_FAILED" };
    expect(answer).toMatchObject(expected);
    expect(await jobOf(claim)).toMatchObject({ state: "FAILED", statusReason: "budget_exceeded", costMicros: 11n });
    expect(await entriesOf(claim)).toMatchObject([{ costMicros: 11n }]);
  });

  test("is not retried, by policy or by a person", async () => {
    const claim = await started(engine, { costBudgetMicros: 10, maxAttempts: 9 });
    ok(await failWorkflow(engine, aFailure(claim, { metrics: costing(11) })));
    const refused = await retryAiJob(engine, WORKSPACE, SOMEBODY, claim.job.jobId);
    expect(refused).toMatchObject({ code: "BUDGET_EXCEEDED", message: expect.stringContaining("costBudgetMicros") });
  });
});
