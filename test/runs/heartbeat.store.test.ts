import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { type Heartbeat, heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { FOUND } from "../support/jobs.ts";
import { expectSound, recordsOf } from "../support/records.ts";

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = ({ job }: Claim) => recordsOf(db.prisma, job.jobId);

function beat({ run, leaseToken }: Claim, more: Partial<Heartbeat> = {}): Heartbeat {
  return { workflowRunId: run.id, leaseToken, leaseSeconds: 30, metrics: NO_METRICS, ...more };
}

describe("a heartbeat", () => {
  test.each([
    ["extends a lease that ends sooner", 10, 60, 60],
    ["never shortens one that ends later", 900, 5, 900],
  ])("%s", async (_, given, asked, lasts) => {
    const held = await started(engine, {}, given);
    const [answer] = await heartbeatWorkflows(engine, [beat(held, { leaseSeconds: asked })]);
    const { runs } = await records(held);
    expect(answer).toEqual({
      workflowRunId: held.run.id,
      directive: "CONTINUE",
      leaseExpiresAt: runs[0]?.leaseExpiresAt,
      error: null,
    });
    // Counted from when it was given, where it is not shortened; from the heartbeat, where it is extended.
    const from = given > asked ? held.run.startedAt : runs[0]?.lastHeartbeat;
    expect((runs[0]?.leaseExpiresAt?.getTime() ?? 0) - (from?.getTime() ?? 0)).toBe(lasts * 1000);
    expect(runs[0]?.lastHeartbeat.getTime()).toBeGreaterThanOrEqual(held.run.startedAt.getTime());
  });

  test("without metrics makes no version and no event of its job", async () => {
    const held = await started(engine);
    const before = await records(held);
    await heartbeatWorkflows(engine, [beat(held, { leaseSeconds: 60 })]);
    const after = await records(held);
    expect(after).toMatchObject({ job: before.job, events: before.events });
    expect(after.runs).not.toEqual(before.runs);
  });

  test("with metrics makes one version, whose event tells what was added", async () => {
    const held = await started(engine);
    const before = await records(held);
    const metrics = {
      ...NO_METRICS,
      inputTokens: 11,
      outputTokens: 5,
      tokensPlanner: 4,
      tokensExecutor: 12,
      durationMs: 3,
    };
    await heartbeatWorkflows(engine, [beat(held, { metrics })]);
    await heartbeatWorkflows(engine, [beat(held, { metrics: { ...NO_METRICS, entitiesRead: 2 ** 40 } })]);
    const after = await records(held);
    expectSound(after);
    expect(after.job).toMatchObject({ state: "RUNNING", version: before.job.version + 2 });
    expect(metricsOf(after.job)).toEqual({
      ...metricsOf(before.job),
      durationMs: 3n,
      totalTokens: 16n,
      inputTokens: 11n,
      outputTokens: 5n,
      tokensPlanner: 4n,
      tokensExecutor: 12n,
      entitiesRead: 2n ** 40n,
    });
    const told = after.events.slice(-2);
    expect(told).toMatchObject([
      { type: "METRICS_RECORDED", actor: "AGENT", actorId: "worker-1", payload: { delta: metrics } },
      { type: "METRICS_RECORDED", state: "RUNNING", previousState: "RUNNING" },
    ]);
  });

  test.each([
    ["split into more tokens than there are", { inputTokens: 3, tokensPlanner: 2, tokensExecutor: 2 }, "tokensPlanner"],
    ["past 2^53 - 1", { durationMs: Number.MAX_SAFE_INTEGER }, "durationMs"],
    ["whose total is past 2^53 - 1", { inputTokens: 2 ** 52, outputTokens: 2 ** 52 }, "totalTokens"],
  ])("with metrics %s renews the lease and is refused the metrics, as a whole", async (_, more, field) => {
    const held = await started(engine);
    await heartbeatWorkflows(engine, [beat(held, { metrics: { ...NO_METRICS, durationMs: 1 } })]);
    const before = await records(held);
    const metrics = { ...NO_METRICS, entitiesRead: 5, ...more };
    const [, answer] = await heartbeatWorkflows(engine, [
      beat(await started(engine)),
      beat(held, { metrics, leaseSeconds: 90 }),
    ]);
    expect(answer).toMatchObject({
      directive: "CONTINUE",
      leaseExpiresAt: expect.any(Date),
      error: { code: "INVALID_INPUT", inputPath: ["input", "heartbeats", "1", "metrics", field] },
    });
    const after = await records(held);
    expect(after).toMatchObject({ job: before.job, events: before.events });
    expect(after.runs).toMatchObject([{ leaseExpiresAt: answer?.leaseExpiresAt }]);
  });
});

describe("a batch of heartbeats", () => {
  test("is answered in order, each by itself", async () => {
    const fine = await started(engine);
    const counting = await started(engine);
    const poisoned = await started(engine);
    await poisonJob(engine, WORKSPACE, poisoned.job.jobId, FOUND);
    const cancelled = await started(engine);
    await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: cancelled.job.jobId, reason: "enough" });
    const stranger = await started(engine);
    const before = await records(stranger);

    const answers = await heartbeatWorkflows(engine, [
      beat(poisoned),
      beat(counting, { metrics: { ...NO_METRICS, outputTokens: 5 } }),
      beat(stranger, { leaseToken: fine.leaseToken }),
      beat(cancelled),
      beat(fine),
      beat(fine, { workflowRunId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b" }),
    ]);
    expect(answers).toMatchObject([
      { workflowRunId: poisoned.run.id, directive: "STOP_POISONED", leaseExpiresAt: null },
      { workflowRunId: counting.run.id, directive: "CONTINUE", error: null },
      { workflowRunId: stranger.run.id, directive: "STOP_LEASE_LOST", error: { code: "LEASE_LOST" } },
      { workflowRunId: cancelled.run.id, directive: "STOP_CANCELLED", error: { code: "ILLEGAL_TRANSITION" } },
      { workflowRunId: fine.run.id, directive: "CONTINUE", error: null },
      { directive: "STOP_LEASE_LOST", error: { code: "LEASE_LOST" } },
    ]);
    expect((await records(counting)).job.outputTokens).toBe(5n);
    expect(await records(stranger)).toEqual(before);
  });

  test("takes as many statements for 50 runs as for one", async () => {
    const held = [];
    for (let count = 0; count < 50; count++) held.push(await started(engine));
    const metrics = { ...NO_METRICS, inputTokens: 1 };
    const beats = held.map((one) => beat(one, { metrics }));

    db.statements();
    await heartbeatWorkflows(engine, beats.slice(0, 1));
    const forOne = db.statements();
    const answers = await heartbeatWorkflows(engine, beats);
    const forAll = db.statements();
    expect(answers.filter(({ directive }) => directive === "CONTINUE")).toHaveLength(50);
    expect(forOne.length).toBeGreaterThan(2);
    expect(forAll).toHaveLength(forOne.length);
  });
});
