import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import { retryAiJobs } from "../../src/jobs/bulk/action.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import type { SubmitAiJob } from "../../src/jobs/draft.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import type { WorkflowRunFilter } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { expireLease } from "../support/jobs.ts";
import { aCompletion, aFailure, failWorkflow } from "../support/reports.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** What a dashboard asks for beside lists of jobs: runs, workers, bulk actions, times, and a job by its key. */

const ELSEWHERE = { "x-workspace-id": randomUUID() };
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

/** A workspace of its own, in which jobs are submitted and started. */
function aWorkspace() {
  const workspaceId = randomUUID();
  const engine = engineOn(db);
  const submit = async (more: Partial<SubmitAiJob> = {}) =>
    ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit(more))).job;
  const start = async (workerId: string, more: Partial<SubmitAiJob> = {}, leaseSeconds = 60) => {
    const { jobId } = await submit(more);
    const claim = ok(await startWorkflow(engine, workspaceId, { jobId, workerId, leaseSeconds }));
    if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
    return claim;
  };
  return { workspaceId, engine, submit, start, header: { "x-workspace-id": workspaceId } };
}

describe("workflowRuns", () => {
  const RUNS = graphql(`
    query DashboardRuns($filter: WorkflowRunFilter, $first: Int, $after: String, $last: Int) {
      workflowRuns(filter: $filter, first: $first, after: $after, last: $last) {
        nodes {
          workflowRunId
          job {
            jobId
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `);

  test("are those of the workspace, the latest claimed first, by state, worker and lease", async () => {
    const { start, engine, header } = aWorkspace();
    const done = await start("one");
    const short = await start("one", {}, 30);
    const long = await start("two", {}, 900);
    const failed = await start("two");
    await completeWorkflows(engine, [aCompletion(done)]);
    ok(await failWorkflow(engine, aFailure(failed)));
    const list = async (filter: WorkflowRunFilter) => {
      const { workflowRuns } = await run(server.url, RUNS, { filter }, header);
      return workflowRuns.nodes.map(({ workflowRunId }) => workflowRunId);
    };
    const idsOf = (...claims: (typeof done)[]) => claims.map((claim) => claim.run.id);
    const soon = new Date(Date.now() + 120_000).toISOString();
    expect(await list({})).toEqual(idsOf(failed, long, short, done));
    expect(await list({ workerId: "one" })).toEqual(idsOf(short, done));
    expect(await list({ states: ["RUNNING"] })).toEqual(idsOf(long, short));
    expect(await list({ states: ["FAILED", "COMPLETED", "FAILED"] })).toEqual(idsOf(failed, done));
    expect(await list({ states: [] })).toEqual([]);
    expect(await list({ leaseExpiresBefore: soon })).toEqual(idsOf(short));
    expect(await list({ workerId: "two", states: ["RUNNING"], leaseExpiresBefore: soon })).toEqual([]);
    expect((await run(server.url, RUNS, {}, ELSEWHERE)).workflowRuns.nodes).toEqual([]);
    const first = (await run(server.url, RUNS, { first: 3 }, header)).workflowRuns;
    expect(first.pageInfo.hasNextPage).toBe(true);
    const rest = (await run(server.url, RUNS, { first: 3, after: first.pageInfo.endCursor }, header)).workflowRuns;
    expect([...first.nodes, ...rest.nodes].map(({ job }) => job.jobId)).toEqual(
      [failed, long, short, done].map(({ job }) => job.jobId),
    );
    const last = (await run(server.url, RUNS, { last: 1 }, header)).workflowRuns;
    expect(last.nodes.map(({ workflowRunId }) => workflowRunId)).toEqual(idsOf(done));
  });
});

describe("workers", () => {
  const WORKERS = graphql(`
    query DashboardWorkers($first: Int, $after: String, $last: Int) {
      workers(first: $first, after: $after, last: $last) {
        nodes {
          workerId
          jobKinds
          leases
          lastHeard
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `);

  test("are those that hold jobs, with what they hold", async () => {
    const { start, engine, header } = aWorkspace();
    const idle = await start("idle");
    await completeWorkflows(engine, [aCompletion(idle)]);
    const first = await start("busy", { jobKind: "DOC_SUMMARIZE" });
    await start("busy", { jobKind: "DOC_EDIT" });
    await start("busy", { jobKind: "DOC_EDIT" });
    const lost = await start("dead");
    await expireLease(db, lost);
    const { workers } = await run(server.url, WORKERS, {}, header);
    expect(workers.nodes).toEqual([
      { workerId: "busy", jobKinds: ["DOC_EDIT", "DOC_SUMMARIZE"], leases: 3, lastHeard: expect.any(String) },
      { workerId: "dead", jobKinds: ["DOC_SUMMARIZE"], leases: 0, lastHeard: expect.any(String) },
    ]);
    expect(Date.parse(workers.nodes[0]?.lastHeard ?? "")).toBeGreaterThan(first.run.startedAt.getTime());
    const page = (await run(server.url, WORKERS, { first: 1 }, header)).workers;
    expect(page.pageInfo.hasNextPage).toBe(true);
    const rest = (await run(server.url, WORKERS, { first: 1, after: page.pageInfo.endCursor }, header)).workers;
    expect([...page.nodes, ...rest.nodes]).toEqual(workers.nodes);
    expect((await run(server.url, WORKERS, { last: 1 }, header)).workers.nodes).toEqual(workers.nodes.slice(1));
    expect((await run(server.url, WORKERS, {}, ELSEWHERE)).workers.nodes).toEqual([]);
  });
});

describe("bulkActions", () => {
  const ACTIONS = graphql(`
    query DashboardActions($first: Int, $after: String) {
      bulkActions(first: $first, after: $after) {
        nodes {
          id
          kind
          reason
          createdAt
          total
          finishedAt
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `);
  const CANCEL = graphql(`
    mutation DashboardCancel($reason: String!) {
      cancelAiJobs(input: { filter: { rootsOnly: true }, reason: $reason }) {
        ... on CancelAiJobsPayload {
          bulkAction {
            id
          }
        }
      }
    }
  `);

  test("are those of the workspace, newest first", async () => {
    const { submit, engine, workspaceId, header } = aWorkspace();
    await submit();
    const reasons = ["first", "second", "third"];
    for (const reason of reasons) await run(server.url, CANCEL, { reason }, header);
    ok(await retryAiJobs(engine, workspaceId, SOMEBODY, { filter: { rootsOnly: true }, limit: 10 }));
    const { bulkActions } = await run(server.url, ACTIONS, {}, header);
    expect(bulkActions.nodes).toMatchObject([
      { kind: "RETRY", reason: null, total: 0, finishedAt: expect.any(String) },
      { kind: "CANCEL", reason: "third", total: 0 },
      { kind: "CANCEL", reason: "second", total: 0 },
      { kind: "CANCEL", reason: "first", total: 1 },
    ]);
    const page = (await run(server.url, ACTIONS, { first: 3 }, header)).bulkActions;
    const rest = (await run(server.url, ACTIONS, { first: 3, after: page.pageInfo.endCursor }, header)).bulkActions;
    expect([...page.nodes, ...rest.nodes]).toEqual(bulkActions.nodes);
    expect([page.pageInfo.hasNextPage, rest.pageInfo.hasNextPage]).toEqual([true, false]);
    expect((await run(server.url, ACTIONS, {}, ELSEWHERE)).bulkActions.nodes).toEqual([]);
  });
});

const BY_KEY = graphql(`
  query DashboardByKey($key: String!) {
    aiJobByIdempotencyKey(idempotencyKey: $key) {
      jobId
    }
  }
`);

test("a job is found by its idempotency key, in its own workspace", async () => {
  const { submit, header } = aWorkspace();
  const { jobId } = await submit({ idempotencyKey: "order-17" });
  const ask = async (key: string, from: Record<string, string>) =>
    (await run(server.url, BY_KEY, { key }, from)).aiJobByIdempotencyKey;
  expect(await ask("order-17", header)).toEqual({ jobId });
  expect(await ask("order-18", header)).toBeNull();
  expect(await ask("order-17", ELSEWHERE)).toBeNull();
  await expect(ask("", header)).rejects.toThrow("idempotencyKey: must have at least 1 character");
});

const TIMES = graphql(`
  query DashboardTimes($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      startedAt
      queuedMs
      runMs
    }
  }
`);

describe("the times of a job", () => {
  const timesOf = async (jobId: string, header: Record<string, string>) => {
    const { aiJob } = await run(server.url, TIMES, { jobId }, header);
    if (!aiJob) throw new Error("There is a job.");
    return { ...aiJob, startedAt: aiJob.startedAt === null ? null : Date.parse(aiJob.startedAt) };
  };

  test("that waits grow while it waits", async () => {
    const { submit, header } = aWorkspace();
    const { jobId } = await submit();
    await sleep(30);
    const first = await timesOf(jobId, header);
    expect(first).toEqual({ startedAt: null, queuedMs: expect.any(Number), runMs: 0 });
    await sleep(30);
    expect((await timesOf(jobId, header)).queuedMs).toBeGreaterThanOrEqual(first.queuedMs + 25);
  });

  test("are the sums over its attempts, and stand still when it has ended", async () => {
    const { start, engine, workspaceId, header } = aWorkspace();
    const { job, run: firstRun, ...claim } = await start("one");
    await sleep(30);
    ok(await failWorkflow(engine, aFailure({ job, run: firstRun, ...claim })));
    await sleep(30);
    ok(await cancelAiJob(engine, workspaceId, SOMEBODY, { jobId: job.jobId, reason: "test" }));
    const events = await db.prisma.flightRecorderEvent.findMany({
      where: { jobId: job.jobId },
      orderBy: { version: "asc" },
    });
    const [submitted, started, failed, cancelled] = events.map(({ recordedAt }) => recordedAt.getTime());
    if (submitted === undefined || started === undefined || failed === undefined || cancelled === undefined) {
      throw new Error("There are four events.");
    }
    const expected = {
      startedAt: started,
      queuedMs: started - submitted + (cancelled - failed),
      runMs: failed - started,
    };
    expect(expected.runMs).toBeGreaterThanOrEqual(30);
    expect(expected.queuedMs).toBeGreaterThanOrEqual(30);
    expect(await timesOf(job.jobId, header)).toEqual(expected);
    await sleep(20);
    expect(await timesOf(job.jobId, header)).toEqual(expected);
  });
});

const CHILDREN = graphql(`
  query DashboardChildren($jobId: UUID!, $first: Int, $after: String, $last: Int) {
    aiJob(jobId: $jobId) {
      children(first: $first, after: $after, last: $last) {
        totalCount
        feedCursor
        nodes {
          jobId
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
      events(first: 1) {
        nodes {
          job {
            jobId
            children {
              totalCount
            }
          }
        }
      }
    }
  }
`);

test("the children of a job are listed newest first, and an event leads to its job", async () => {
  const { submit, header } = aWorkspace();
  const { jobId } = await submit();
  const childIds: string[] = [];
  for (let count = 0; count < 5; count++) {
    childIds.unshift((await submit({ parentJobId: jobId })).jobId);
    await sleep(1);
  }
  await submit({ parentJobId: childIds[0] ?? null });
  const page = async (args: { first?: number; after?: string | null; last?: number }) => {
    const { aiJob } = await run(server.url, CHILDREN, { jobId, ...args }, header);
    if (!aiJob) throw new Error("There is a job.");
    expect(aiJob.events.nodes).toEqual([{ job: { jobId, children: { totalCount: 5 } } }]);
    const { nodes, ...rest } = aiJob.children;
    return { ids: nodes.map((child) => child.jobId), ...rest };
  };
  const first = await page({ first: 3 });
  expect(first).toMatchObject({ totalCount: 5, ids: childIds.slice(0, 3), pageInfo: { hasNextPage: true } });
  expect(first.feedCursor).not.toBe("");
  expect((await page({ first: 3, after: first.pageInfo.endCursor })).ids).toEqual(childIds.slice(3));
  expect((await page({ last: 2 })).ids).toEqual(childIds.slice(3));
});
