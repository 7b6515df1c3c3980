import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { readTotals } from "../../src/totals/read.ts";
import { graphql } from "../generated/gql.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { aBusyJob, awaitAnswer, bringTo, FOUND, stall } from "../support/jobs.ts";
import { run, startTestServer } from "../support/server.ts";
import { aggregateAll, aggregatedJobs, expectExact } from "../support/totals.ts";

/** Counts and sums over jobs: what the aggregation has added up, and what it has not come to. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const METRICS = { ...NO_METRICS, durationMs: 90, inputTokens: 7, outputTokens: 5, tokensPlanner: 3, entitiesRead: 2 };

/** A job in every state, most of which have cost something. */
async function jobsInEveryState(): Promise<void> {
  await submitted(engine, { jobKind: "DOC_EDIT" });
  await submitted(engine, { jobKind: "TERMINAL_EXEC" });
  const running = await started(engine, { jobKind: "SHEET_TRANSFORM" });
  ok(await advanceWorkflow(engine, { ...aStep(running, "read"), metrics: METRICS }));
  await stall(engine, await started(engine));
  await awaitAnswer(engine, await aBusyJob(engine), "AWAITING_VALIDATION");
  await awaitAnswer(engine, await started(engine, { jobKind: "DOC_EDIT" }), "AWAITING_USER");
  for (const issues of [[], ["one page is missing"]]) {
    const { run: held, leaseToken } = await started(engine);
    const end = { workflowRunId: held.id, leaseToken, jobOutputs: null, writtenEntities: [], issues, metrics: METRICS };
    expect(await completeWorkflows(engine, [end])).toMatchObject([{ run: { id: held.id } }]);
  }
  await bringTo(engine, (await aBusyJob(engine)).job.jobId, "FAILED");
  const { jobId } = await submitted(engine, { jobKind: "ASR_TRANSCRIBE" });
  ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "enough" }));
  await poisonJob(engine, WORKSPACE, (await aBusyJob(engine)).job.jobId, FOUND);
}

describe("the totals of a workspace are those of its jobs", () => {
  beforeEach(jobsInEveryState);

  test.each([
    ["before anything was aggregated", async () => undefined],
    ["when everything was aggregated", () => aggregateAll(db.prisma)],
    ["when it was aggregated one event at a time", () => aggregateTotals(db.prisma, 1)],
    [
      "when some of it was aggregated, and jobs have gone on since",
      async () => {
        await aggregateTotals(db.prisma, 7);
        await jobsInEveryState();
      },
    ],
  ])("%s", async (_, aggregate) => {
    await aggregate();
    const totals = await expectExact(db.prisma);
    expect(new Set(totals.map(({ state }) => state)).size).toBe(10);
    expect(totals.some(({ metrics }) => metrics.totalTokens > 0n)).toBe(true);
  });
});

test("a state or kind that its last job has left is not among the totals, aggregated or not", async () => {
  const workspaceId = randomUUID();
  const { job } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit()));
  await aggregateAll(db.prisma);
  ok(await cancelAiJob(engine, workspaceId, SOMEBODY, { jobId: job.jobId, reason: "enough" }));
  const left = [{ jobKind: "DOC_SUMMARIZE", state: "CANCELLED", jobs: 1n }];
  expect(await expectExact(db.prisma, workspaceId)).toMatchObject(left);
  await aggregateAll(db.prisma);
  expect(await expectExact(db.prisma, workspaceId)).toMatchObject(left);
});

test("totals are of those states and kinds that are asked for", async () => {
  const workspaceId = randomUUID();
  const submit = (jobKind: "DOC_EDIT" | "WORKFLOW_RUN") =>
    submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobKind })).then((result) => ok(result).job);
  await submit("DOC_EDIT");
  const { jobId } = await submit("DOC_EDIT");
  await aggregateTotals(db.prisma);
  await submit("WORKFLOW_RUN");
  ok(await cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason: "enough" }));
  const read = async (filter: Parameters<typeof readTotals>[2]) =>
    (await readTotals(db.prisma, workspaceId, filter)).map(({ jobKind, state, jobs }) => [jobKind, state, jobs]);
  const [queued, cancelled, other] = [
    ["DOC_EDIT", "QUEUED", 1n],
    ["DOC_EDIT", "CANCELLED", 1n],
    ["WORKFLOW_RUN", "QUEUED", 1n],
  ];
  expect(await read({})).toEqual([queued, cancelled, other]);
  expect(await read({ states: ["QUEUED"] })).toEqual([queued, other]);
  expect(await read({ kinds: ["DOC_EDIT"] })).toEqual([queued, cancelled]);
  expect(await read({ states: ["QUEUED", "QUEUED"], kinds: ["DOC_EDIT", "ASR_TRANSCRIBE"] })).toEqual([queued]);
  expect(await read({ states: [] })).toEqual([]);
  expect(await read({ kinds: [] })).toEqual([]);
});

test("what was aggregated once is not aggregated again; with nothing to aggregate, an aggregation only looks", async () => {
  await submitted(engine);
  await aggregateAll(db.prisma);
  const before = await aggregatedJobs(db.prisma);
  db.statements();
  expect(await aggregateTotals(db.prisma)).toBe(0);
  expect(db.statements()).toEqual([expect.stringMatching(/^\s*\(SELECT version FROM flight_recorder_events/)]);
  expect(await aggregatedJobs(db.prisma)).toBe(before);
  expect(before).toBe(await db.prisma.aiJob.count({ where: { workspaceId: WORKSPACE } }));
});

test("an aggregation that is stopped ends after its batch, and the next one goes on from there", async () => {
  await aggregateAll(db.prisma);
  for (let count = 0; count < 3; count++) await submitted(engine);
  // On a server with others it may be held back: by a transaction that is open just now.
  const aggregateOne = async () => {
    const stopping = new AbortController();
    const aggregate = aggregateTotals(db.prisma, 1, stopping.signal);
    stopping.abort();
    return aggregate;
  };
  await expect.poll(aggregateOne, { timeout: 20_000 }).toBe(1);
  await aggregateAll(db.prisma);
  await expectExact(db.prisma);
});

test("totals are read with one statement, however many jobs there are and however much is aggregated", async () => {
  const cost = async () => {
    db.statements();
    await readTotals(db.prisma, WORKSPACE, {});
    return db.statements().length;
  };
  expect(await cost()).toBe(1);
  await aggregateAll(db.prisma);
  expect(await cost()).toBe(1);
});

const STATS = graphql(`
  query TotalsStats {
    aiJobStats {
      total
      metrics { durationMs totalTokens inputTokens entitiesRead }
    }
  }
`);

test.each([
  ["not aggregated", async () => undefined],
  ["aggregated", () => aggregateAll(db.prisma)],
])("sums beyond 2^53 - 1 are given as 2^53 - 1, the others exactly: %s", async (_, aggregate) => {
  const workspaceId = randomUUID();
  const max = Number.MAX_SAFE_INTEGER;
  for (const jobKind of ["DOC_EDIT", "DOC_EDIT", "ASR_TRANSCRIBE"] as const) {
    const { job } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobKind })));
    // Of one kind together too many, and of two kinds as well.
    await bringTo(engine, job.jobId, "RUNNING", { durationMs: BigInt(max), entitiesRead: 3n });
  }
  await aggregate();
  const server = await startTestServer(db);
  const { aiJobStats } = await run(server.url, STATS, {}, { "x-workspace-id": workspaceId });
  await server.close();
  expect(aiJobStats).toEqual({
    total: 3,
    metrics: { durationMs: max, totalTokens: 0, inputTokens: 0, entitiesRead: 9 },
  });
});

describe("usage by the minute", () => {
  const usage = async (workspaceId: string) => {
    const rows = await db.prisma.usageMinute.findMany({ where: { workspaceId }, orderBy: { minute: "asc" } });
    return rows.map(({ capabilityProfileId, tokens, jobs }) => [capabilityProfileId, Number(tokens), Number(jobs)]);
  };

  test("is what was submitted and reported in it, by capability profile", async () => {
    const workspaceId = randomUUID();
    const submit = (jobKind: "DOC_EDIT" | "TERMINAL_EXEC") =>
      submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobKind })).then((result) => ok(result).job);
    const one = await submit("DOC_EDIT");
    const two = await submit("TERMINAL_EXEC");
    const three = await submit("DOC_EDIT");
    await bringTo(engine, one.jobId, "RUNNING", { inputTokens: 40n, totalTokens: 40n });
    await aggregateAll(db.prisma);
    await bringTo(engine, one.jobId, "RUNNING", { outputTokens: 5n, totalTokens: 45n });
    await bringTo(engine, one.jobId, "FAILED");
    await bringTo(engine, two.jobId, "RUNNING", { inputTokens: 7n, totalTokens: 7n });
    await bringTo(engine, three.jobId, "CANCELLED");
    await aggregateAll(db.prisma);
    const sums = new Map<unknown, readonly [number, number]>();
    for (const [profile, tokens, jobs] of await usage(workspaceId)) {
      const [t, j] = sums.get(profile) ?? [0, 0];
      sums.set(profile, [t + Number(tokens), j + Number(jobs)]);
    }
    expect(Object.fromEntries(sums)).toEqual({ default: [45, 2], terminal: [7, 1] });
  });

  test("is forgotten when it is older than the longest window of a quota", async () => {
    const workspaceId = randomUUID();
    const minute = (days: number) => new Date(Math.floor(Date.now() / 60_000 - days * 24 * 60) * 60_000);
    const old = { workspaceId, capabilityProfileId: "default", tokens: 1, jobs: 1 };
    await db.prisma.workspace.create({ data: { workspaceId } });
    await db.prisma.usageMinute.createMany({
      data: [31, 33, 400].map((days) => ({ ...old, minute: minute(days) })),
    });
    await submitted(engine);
    await aggregateAll(db.prisma);
    const left = await db.prisma.usageMinute.findMany({ where: { workspaceId } });
    expect(left.map((row) => row.minute)).toEqual([minute(31)]);
  });
});

test("metrics that a heartbeat brings are in the totals at once", async () => {
  const workspaceId = WORKSPACE;
  const { run: held, leaseToken } = await started(engine, { jobKind: "CANVAS_CLUSTER" });
  const beat = { workflowRunId: held.id, leaseToken, leaseSeconds: 30, metrics: METRICS };
  const read = async () => (await readTotals(db.prisma, workspaceId, { kinds: ["CANVAS_CLUSTER"] }))[0]?.metrics;
  await heartbeatWorkflows(engine, [beat]);
  expect(await read()).toMatchObject({ durationMs: 90n, totalTokens: 12n, tokensPlanner: 3n });
  await aggregateTotals(db.prisma);
  await heartbeatWorkflows(engine, [beat]);
  expect(await read()).toMatchObject({ durationMs: 180n, totalTokens: 24n, tokensPlanner: 6n });
});
