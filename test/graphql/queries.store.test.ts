import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { graphql } from "../generated/gql.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, aSubmit, engineOn, ok, SOMEBODY, started, submitted, WORKSPACE } from "../support/engine.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const PAGE = graphql(`
  query Page($first: Int, $after: String, $last: Int, $before: String, $filter: AiJobFilter) {
    aiJobs(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
      nodes { jobId }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      totalCount
    }
  }
`);

/** Jobs of a protocol of their own, oldest first. */
async function several(count: number, protocolId: string = randomUUID()) {
  const jobIds: string[] = [];
  for (let n = 0; n < count; n++) jobIds.push((await submitted(engineOn(db), { protocolId })).jobId);
  return { protocolId, jobIds };
}

describe("a list of jobs", () => {
  test("is read page by page, newest first, and rows inserted meanwhile move nothing", async () => {
    const { protocolId, jobIds } = await several(7);
    const filter = { protocolId };
    const first = await server.run(PAGE, { first: 3, filter });
    await several(2, protocolId);
    const second = await server.run(PAGE, { first: 3, after: first.aiJobs.pageInfo.endCursor, filter });
    const third = await server.run(PAGE, { first: 3, after: second.aiJobs.pageInfo.endCursor, filter });
    const pages = [first, second, third].map(({ aiJobs }) => aiJobs.nodes.map(({ jobId }) => jobId));
    expect(pages.flat()).toEqual(jobIds.toReversed());
    expect(first.aiJobs.totalCount).toBe(7);
    expect(third.aiJobs.totalCount).toBe(9);
    expect(first.aiJobs.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: false });
    expect(third.aiJobs.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
  });

  test("is read backwards from its end", async () => {
    const { protocolId, jobIds } = await several(5);
    const filter = { protocolId };
    const last = await server.run(PAGE, { last: 2, filter });
    const before = await server.run(PAGE, { last: 2, before: last.aiJobs.pageInfo.startCursor, filter });
    const newestFirst = jobIds.toReversed();
    expect(last.aiJobs.nodes.map(({ jobId }) => jobId)).toEqual(newestFirst.slice(3));
    expect(before.aiJobs.nodes.map(({ jobId }) => jobId)).toEqual(newestFirst.slice(1, 3));
    expect(last.aiJobs.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
  });

  test("keeps its order where jobs were created in the same millisecond", async () => {
    const protocolId = randomUUID();
    await Promise.all(Array.from({ length: 12 }, () => submitted(engineOn(db), { protocolId })));
    const seen: string[] = [];
    for (let after: string | null | undefined; after !== null; ) {
      const { aiJobs } = await server.run(PAGE, { first: 5, after: after ?? null, filter: { protocolId } });
      seen.push(...aiJobs.nodes.map(({ jobId }) => jobId));
      after = aiJobs.pageInfo.hasNextPage ? aiJobs.pageInfo.endCursor : null;
    }
    expect(new Set(seen).size).toBe(12);
    expect(seen).toHaveLength(12);
  });

  test("has 20 rows where nobody says how many, and 100 at most", async () => {
    const { protocolId } = await several(21);
    const { aiJobs } = await server.run(PAGE, { filter: { protocolId } });
    expect(aiJobs.nodes).toHaveLength(20);
    await expect(server.run(PAGE, { first: 101 })).rejects.toThrow("INVALID_INPUT");
    await expect(server.run(PAGE, { first: 0 })).rejects.toThrow("INVALID_INPUT");
    await expect(server.run(PAGE, { first: 1, last: 1 })).rejects.toThrow("INVALID_INPUT");
    await expect(server.run(PAGE, { after: "no cursor" })).rejects.toThrow("INVALID_INPUT");
  });

  test("is filtered by every condition, alone and together", async () => {
    const engine = engineOn(db);
    const protocolId = randomUUID();
    const queued = await submitted(engine, { protocolId, jobKind: "DOC_EDIT" });
    const cancelled = await submitted(engine, { protocolId, jobKind: "ASR_TRANSCRIBE" });
    await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: cancelled.jobId, reason: "test" });
    const ids = async (filter: object) => {
      const { aiJobs } = await server.run(PAGE, { filter: { protocolId, ...filter } });
      expect(aiJobs.totalCount).toBe(aiJobs.nodes.length);
      return aiJobs.nodes.map(({ jobId }) => jobId);
    };
    expect(await ids({})).toEqual([cancelled.jobId, queued.jobId]);
    expect(await ids({ states: ["QUEUED"] })).toEqual([queued.jobId]);
    expect(await ids({ states: ["QUEUED", "CANCELLED", "CANCELLED"] })).toEqual([cancelled.jobId, queued.jobId]);
    expect(await ids({ states: [] })).toEqual([]);
    expect(await ids({ kinds: ["ASR_TRANSCRIBE", "SHEET_TRANSFORM"] })).toEqual([cancelled.jobId]);
    expect(await ids({ states: ["QUEUED"], kinds: ["ASR_TRANSCRIBE"] })).toEqual([]);
    expect(await ids({ parentJobId: queued.jobId })).toEqual([]);
    expect(await ids({ createdAfter: cancelled.createdAt.toISOString() })).toEqual([]);
    const later = new Date(cancelled.createdAt.getTime() + 1000).toISOString();
    expect(await ids({ createdBefore: later })).toHaveLength(2);
    expect(await ids({ createdBefore: queued.createdAt.toISOString() })).toEqual([]);
  });
});

const FULL = graphql(`
  query Full($first: Int!, $filter: AiJobFilter) {
    aiJobs(first: $first, filter: $filter) {
      nodes {
        jobId
        parentJob { jobId }
        workflowRun { workflowRunId steps { nodeId } job { jobId } }
        workflowRuns { nodes { attempt } }
        events(first: 5) { nodes { version type } pageInfo { hasNextPage } }
      }
    }
  }
`);

test("relations of 20 jobs cost as many statements as those of 2", async () => {
  const engine = engineOn(db);
  const protocolId = randomUUID();
  for (let n = 0; n < 20; n++) await advanceWorkflow(engine, aStep(await started(engine, { protocolId }), "step"));
  const cost = async (first: number) => {
    db.statements();
    const { aiJobs } = await server.run(FULL, { first, filter: { protocolId } });
    expect(aiJobs.nodes).toHaveLength(first);
    for (const { jobId, workflowRun, workflowRuns, events } of aiJobs.nodes) {
      expect(workflowRun).toMatchObject({ steps: [{ nodeId: "step" }], job: { jobId } });
      expect(workflowRuns.nodes).toEqual([{ attempt: 1 }]);
      expect(events.nodes.map(({ version }) => version)).toEqual([1, 2, 3]);
    }
    return db.statements().length;
  };
  const two = await cost(2);
  expect(await cost(20)).toBe(two);
  expect(two).toBeLessThanOrEqual(8);
});

const PLAIN = graphql(`
  query Plain($filter: AiJobFilter) { aiJobs(first: 1, filter: $filter) { nodes { jobId } } }
`);
const HEAVY = graphql(`
  query Heavy($filter: AiJobFilter) { aiJobs(first: 1, filter: $filter) { nodes { jobInputs jobOutputs } } }
`);

test("the documents of a job are read only where they are asked for", async () => {
  const protocolId = randomUUID();
  await submitted(engineOn(db), { protocolId, jobInputs: { text: "long" } });
  db.statements();
  await server.run(PLAIN, { filter: { protocolId } });
  const read = db.statements().join("\n");
  expect(read).not.toMatch(/"job_inputs"|"job_outputs"/);
  const { aiJobs } = await server.run(HEAVY, { filter: { protocolId } });
  expect(aiJobs.nodes).toEqual([{ jobInputs: { text: "long" }, jobOutputs: null }]);
});

const JOB = graphql(`
  query Job($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      id
      metrics { durationMs totalTokens inputTokens outputTokens }
      workflowRun { id workflowRunId steps { id } }
      events(last: 1) { nodes { id metrics { totalTokens } } }
    }
  }
`);
const NODES = graphql(`
  query Nodes($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }
`);
const RUN = graphql(`
  query Run($workflowRunId: UUID!) { workflowRun(workflowRunId: $workflowRunId) { attempt job { jobId } } }
`);
const STATS = graphql(`
  query Stats($filter: AiJobFilter) {
    aiJobStats(filter: $filter) {
      total
      byState { state count }
      byKind { jobKind count }
      metrics { totalTokens durationMs }
    }
  }
`);

test("counters beyond 2^31 are exact wherever they are read", async () => {
  const engine = engineOn(db);
  const { job, run: held, leaseToken } = await started(engine);
  const big = 3_000_000_000;
  const metrics = { ...NO_METRICS, inputTokens: big, outputTokens: big, durationMs: 2 ** 52 };
  await heartbeatWorkflows(engine, [{ workflowRunId: held.id, leaseToken, leaseSeconds: 30, metrics }]);
  const { aiJob } = await server.run(JOB, { jobId: job.jobId });
  expect(aiJob?.metrics).toEqual({
    durationMs: 4503599627370496,
    totalTokens: 6_000_000_000,
    inputTokens: big,
    outputTokens: big,
  });
  expect(aiJob?.events.nodes[0]?.metrics.totalTokens).toBe(6_000_000_000);
  const { aiJobStats } = await server.run(STATS, {});
  expect(aiJobStats.metrics.totalTokens).toBeGreaterThanOrEqual(6_000_000_000);
});

test("everything that is a Node is found again by its global id, and by nobody else's workspace", async () => {
  const engine = engineOn(db);
  const claim = await started(engine);
  ok(await advanceWorkflow(engine, aStep(claim, "step")));
  const { aiJob } = await server.run(JOB, { jobId: claim.job.jobId });
  const ids = [aiJob?.id, aiJob?.workflowRun?.id, aiJob?.workflowRun?.steps[0]?.id, aiJob?.events.nodes[0]?.id];
  const known = ids.map((id) => id ?? "missing");
  const { nodes } = await server.run(NODES, { ids: known });
  expect(nodes).toEqual([
    { __typename: "AiJob", id: known[0] },
    { __typename: "WorkflowRun", id: known[1] },
    { __typename: "NodeExecution", id: known[2] },
    { __typename: "FlightRecorderEvent", id: known[3] },
  ]);
  const elsewhere = await run(server.url, NODES, { ids: known }, { "x-workspace-id": randomUUID() });
  expect(elsewhere.nodes).toEqual([null, null, null, null]);
});

test("a run is found by its id, and not from another workspace", async () => {
  const { job, run: held } = await started(engineOn(db));
  const { workflowRun } = await server.run(RUN, { workflowRunId: held.id });
  expect(workflowRun).toEqual({ attempt: 1, job: { jobId: job.jobId } });
  const elsewhere = await run(server.url, RUN, { workflowRunId: held.id }, { "x-workspace-id": randomUUID() });
  expect(elsewhere.workflowRun).toBeNull();
});

test("stats count exactly what matches, in one's own workspace", async () => {
  const workspaceId = randomUUID();
  const engine = engineOn(db);
  for (const jobKind of ["DOC_EDIT", "DOC_EDIT", "WORKFLOW_RUN"] as const) {
    ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobKind })));
  }
  const header = { "x-workspace-id": workspaceId };
  const all = await run(server.url, STATS, {}, header);
  expect(all.aiJobStats).toEqual({
    total: 3,
    byState: [{ state: "QUEUED", count: 3 }],
    byKind: [
      { jobKind: "DOC_EDIT", count: 2 },
      { jobKind: "WORKFLOW_RUN", count: 1 },
    ],
    metrics: { totalTokens: 0, durationMs: 0 },
  });
  const some = await run(server.url, STATS, { filter: { kinds: ["WORKFLOW_RUN"] } }, header);
  expect(some.aiJobStats).toMatchObject({ total: 1, byKind: [{ jobKind: "WORKFLOW_RUN", count: 1 }] });
  const none = await run(server.url, STATS, { filter: { states: ["POISONED"] } }, header);
  expect(none.aiJobStats).toMatchObject({ total: 0, byState: [], byKind: [] });
});

const EVENTS = graphql(`
  query Events($first: Int, $after: String, $filter: FlightRecorderFilter) {
    flightRecorderEvents(first: $first, after: $after, filter: $filter) {
      nodes { jobId version type traceId recordedAt }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

test("the flight recorder is read newest first, and filtered by every condition", async () => {
  const engine = engineOn(db);
  const { job } = await started(engine);
  const { jobId, traceId } = job;
  await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "test" });
  const read = async (filter: object, first = 10) => {
    const { flightRecorderEvents } = await server.run(EVENTS, { first, filter });
    return flightRecorderEvents.nodes;
  };
  const all = await read({ jobId });
  expect(all.map(({ version }) => version)).toEqual([3, 2, 1]);
  expect(await read({ traceId })).toEqual(all);
  expect((await read({ jobId, types: ["JOB_SUBMITTED"] })).map(({ version }) => version)).toEqual([1]);
  expect(await read({ jobId, recordedAfter: all[0]?.recordedAt })).toEqual([]);
  expect((await read({ jobId, recordedBefore: all[0]?.recordedAt })).length).toBeLessThanOrEqual(2);
  expect((await read({ types: ["STATE_CHANGED"] }, 1))[0]).toMatchObject({ jobId, version: 3 });

  const page = await server.run(EVENTS, { first: 2, filter: { jobId } });
  const { endCursor } = page.flightRecorderEvents.pageInfo;
  const rest = await server.run(EVENTS, { first: 2, after: endCursor, filter: { jobId } });
  expect(rest.flightRecorderEvents.nodes.map(({ version }) => version)).toEqual([1]);
  expect(rest.flightRecorderEvents.pageInfo.hasNextPage).toBe(false);
});

const PROFILES = graphql(`
  query Profiles { capabilityProfiles { id capabilityProfileId capabilities jobKinds } }
`);

test("the capability profiles are those of section 8", async () => {
  const { capabilityProfiles } = await server.run(PROFILES, {});
  expect(
    capabilityProfiles.map(({ capabilityProfileId, capabilities }) => [capabilityProfileId, capabilities]),
  ).toEqual([
    ["default", ["doc.read", "doc.summarize"]],
    ["terminal", ["term.exec"]],
  ]);
  expect(capabilityProfiles[0]?.jobKinds).not.toContain("TERMINAL_EXEC");
  expect(capabilityProfiles[1]?.jobKinds).toEqual(["TERMINAL_EXEC"]);
  const ids = capabilityProfiles.map(({ id }) => id);
  expect((await server.run(NODES, { ids })).nodes).toEqual(ids.map((id) => ({ __typename: "CapabilityProfile", id })));
});
