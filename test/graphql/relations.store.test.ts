import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started, submitted } from "../support/engine.ts";
import { claim as take } from "../support/jobs.ts";
import { watch } from "../support/live.ts";
import { failWorkflow } from "../support/reports.ts";
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

/** A job of two runs, the first of them failed, each with two nodes that have payloads; a child of `parentJobId`. */
async function aJobOfTwoRuns(protocolId: string, parentJobId: string | null = null): Promise<string> {
  const engine = engineOn(db);
  const { jobId } = await submitted(engine, { protocolId, jobInputs: { text: "to work on" }, parentJobId });
  const first = await take(engine, jobId);
  for (const nodeId of ["a", "b"]) ok(await advanceWorkflow(engine, aStep(first, nodeId, { inputPayload: nodeId })));
  const { run: failing, leaseToken } = first;
  const failure = { errorMessage: "once more", retryable: true, metrics: NO_METRICS };
  ok(await failWorkflow(engine, { ...failure, workflowRunId: failing.id, leaseToken }));
  await db.prisma.$executeRaw`ALTER TABLE ai_jobs DISABLE TRIGGER USER`;
  await db.prisma.$executeRaw`UPDATE ai_jobs SET run_after = NULL WHERE job_id = ${jobId}::uuid`;
  await db.prisma.$executeRaw`ALTER TABLE ai_jobs ENABLE TRIGGER USER`;
  const second = await take(engine, jobId, "worker-2");
  for (const nodeId of ["c", "d"]) ok(await advanceWorkflow(engine, aStep(second, nodeId)));
  return jobId;
}

const FAMILY = graphql(`
  query RelationsFamily($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      jobId
      workflowRunId
      parentJob {
        jobId
        parentJob {
          jobId
        }
      }
      workflowRun {
        workflowRunId
        attempt
        state
        workerId
        job {
          jobId
          version
        }
        steps {
          nodeId
          sequence
          state
          inputPayload
          outputPayload
        }
      }
      workflowRuns {
        nodes {
          attempt
          state
          errorMessage
          leaseExpiresAt
          finishedAt
          job {
            jobId
          }
          steps {
            nodeId
            state
          }
        }
      }
      events(first: 1) {
        nodes {
          version
          state
          previousState
        }
      }
    }
  }
`);

test("every relation of a job leads to what belongs to it", async () => {
  const parent = await submitted(engineOn(db));
  const jobId = await aJobOfTwoRuns("family", parent.jobId);
  const { aiJob } = await server.run(FAMILY, { jobId });
  expect(aiJob).toMatchObject({
    jobId,
    parentJob: { jobId: parent.jobId, parentJob: null },
    workflowRun: {
      workflowRunId: aiJob?.workflowRunId,
      attempt: 2,
      state: "RUNNING",
      workerId: "worker-2",
      job: { jobId, version: 8 },
      steps: [
        { nodeId: "c", sequence: 1, state: "RUNNING", inputPayload: null, outputPayload: null },
        { nodeId: "d", sequence: 2, state: "RUNNING", inputPayload: null, outputPayload: null },
      ],
    },
    workflowRuns: {
      nodes: [
        {
          attempt: 1,
          state: "FAILED",
          errorMessage: "once more",
          leaseExpiresAt: null,
          finishedAt: expect.any(String),
          job: { jobId },
          steps: [
            { nodeId: "a", state: "FAILED" },
            { nodeId: "b", state: "FAILED" },
          ],
        },
        { attempt: 2, finishedAt: null, leaseExpiresAt: expect.any(String), job: { jobId } },
      ],
    },
    events: { nodes: [{ version: 1, state: "QUEUED", previousState: null }] },
  });
});

describe("a relation of 20 jobs costs as many statements as that of 2:", () => {
  const protocolId = randomUUID();
  beforeAll(async () => {
    const parent = await submitted(engineOn(db));
    for (let n = 0; n < 20; n++) await aJobOfTwoRuns(protocolId, parent.jobId);
  });

  const listed = z.object({
    data: z.object({ aiJobs: z.object({ nodes: z.array(z.record(z.string(), z.unknown())) }) }),
  });

  /** What reading so many jobs costs, and what they are. */
  async function cost(first: number, selection: string) {
    const query = `{ aiJobs(first: ${first}, filter: { protocolId: "${protocolId}" }) { nodes { jobId ${selection} } } }`;
    db.statements();
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    const { data } = listed.parse(JSON.parse(await response.text()));
    const statements = db.statements();
    expect(data.aiJobs.nodes).toHaveLength(first);
    return { statements: statements.length, jobs: data.aiJobs.nodes };
  }

  test.each([
    ["parentJob", "parentJob { jobId }", 2],
    ["workflowRun", "workflowRun { state }", 2],
    ["workflowRun.steps", "workflowRun { steps { nodeId } }", 3],
    ["workflowRun.job", "workflowRun { job { state } }", 3],
    ["workflowRuns", "workflowRuns { nodes { attempt } }", 2],
    ["workflowRuns.nodes.steps", "workflowRuns { nodes { steps { nodeId } } }", 3],
    ["workflowRuns.nodes.job", "workflowRuns { nodes { job { state } } }", 3],
    ["workflowRuns.nodes.job.events", "workflowRuns { nodes { job { events(first: 2) { nodes { type } } } } }", 4],
    ["events", "events(first: 5) { nodes { type } pageInfo { hasNextPage } }", 2],
    [
      "events, two pages of them",
      "first: events(first: 1) { nodes { type } } last: events(last: 1) { nodes { type } }",
      3,
    ],
    ["events.job", "events(first: 2) { nodes { job { state } } }", 3],
    ["children", "children(first: 5) { nodes { state } totalCount }", 3],
    ["parentJob.children", "parentJob { children(last: 2) { nodes { state parentJob { state } } } }", 4],
    ["times", "startedAt queuedMs", 2],
    ["parentJob.workflowRuns", "parentJob { workflowRuns { nodes { id } } events { nodes { id } } }", 4],
  ])("%s", async (_relation, selection, statements) => {
    const two = await cost(2, selection);
    const twenty = await cost(20, selection);
    expect([two.statements, twenty.statements]).toEqual([statements, statements]);
    const { jobId: _, ...first } = twenty.jobs.find(({ jobId }) => jobId === two.jobs[0]?.jobId) ?? {};
    expect(two.jobs[0]).toMatchObject(first);
  });
});

describe("20 things by their global ids cost as many statements as 2:", () => {
  const found = z.object({ data: z.object({ nodes: z.array(z.object({ id: z.string() })) }) });
  const idsOf: Record<string, string[]> = {};
  beforeAll(async () => {
    const jobs: string[] = [];
    for (let n = 0; n < 20; n++) jobs.push(await aJobOfTwoRuns("by-id"));
    const { prisma } = db;
    const runs = await prisma.workflowRun.findMany({ where: { jobId: { in: jobs }, attempt: 1 } });
    const nodes = await prisma.nodeExecution.findMany({
      where: { workflowRunId: { in: runs.map(({ id }) => id) }, sequence: 1 },
    });
    idsOf.AiJob = jobs;
    idsOf.WorkflowRun = runs.map(({ id }) => id);
    idsOf.NodeExecution = nodes.map(({ id }) => id);
    idsOf.FlightRecorderEvent = jobs.map((jobId) => `${jobId}:2`);
  });

  async function cost(type: string, count: number, selection: string): Promise<number> {
    const ids = (idsOf[type] ?? []).slice(0, count).map((id) => Buffer.from(`${type}:${id}`).toString("base64"));
    expect(ids).toHaveLength(count);
    const query = `query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on ${type} { ${selection} } } }`;
    db.statements();
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query, variables: { ids } }),
    });
    const { data } = found.parse(JSON.parse(await response.text()));
    expect(data.nodes.map(({ id }) => id)).toEqual(ids);
    return db.statements().length;
  }

  test.each([
    ["AiJob", "state workflowRun { attempt }"],
    ["WorkflowRun", "state job { state }"],
    ["NodeExecution", "nodeId state"],
    ["FlightRecorderEvent", "type"],
  ])("%s", async (type, selection) => {
    expect(await cost(type, 20, selection)).toBe(await cost(type, 2, selection));
  });
});

describe("what may be large is read only where it is asked for:", () => {
  let jobId: string;
  beforeAll(async () => {
    jobId = await aJobOfTwoRuns("large", (await submitted(engineOn(db), { jobInputs: "large" })).jobId);
  });

  /** The statements of a query, without what they share by name with what they do not read. */
  async function sqlOf(selection: string): Promise<string> {
    db.statements();
    await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: `{ ${selection} }` }),
    });
    const sql = db.statements().join("\n");
    expect(sql).toMatch(/SELECT/);
    return sql;
  }

  const DOCUMENT = /job_inputs|job_outputs/;
  const PAYLOAD = /input_payload|output_payload/;
  test.each([
    ["a job by its id", () => `aiJob(jobId: "${jobId}") { state }`],
    ["a list of jobs", () => "aiJobs(first: 2) { nodes { state } totalCount feedCursor }"],
    ["a parent", () => `aiJob(jobId: "${jobId}") { parentJob { state } }`],
    ["the job of a run", () => `aiJob(jobId: "${jobId}") { workflowRuns { nodes { job { state } } } }`],
    ["statistics", () => "aiJobStats { total byState { state count } }"],
  ])("no document for %s", async (_what, selection) => {
    expect(await sqlOf(selection())).not.toMatch(DOCUMENT);
  });

  test.each([
    ["a job by its id", () => `aiJob(jobId: "${jobId}") { jobInputs }`],
    ["a list of jobs", () => "aiJobs(first: 2) { nodes { jobOutputs } }"],
    ["a parent", () => `aiJob(jobId: "${jobId}") { parentJob { jobInputs } }`],
  ])("and where it is, it is: %s", async (_what, selection) => {
    expect(await sqlOf(selection())).toMatch(DOCUMENT);
  });

  test("no payload for nodes, unless it is asked for", async () => {
    expect(await sqlOf(`aiJob(jobId: "${jobId}") { workflowRun { steps { nodeId state } } }`)).not.toMatch(PAYLOAD);
    expect(await sqlOf(`aiJob(jobId: "${jobId}") { workflowRun { steps { inputPayload } } }`)).toMatch(PAYLOAD);
  });
});

describe("a relation is read again", () => {
  test("for every change that a subscription tells of", async () => {
    const engine = engineOn(db);
    const held = await started(engine, { protocolId: "again" });
    const query = `subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) {
      job { version workflowRun { steps { nodeId } } events(last: 1) { nodes { version } } }
    } }`;
    const payload = z.object({
      change: z.object({
        job: z.object({
          version: z.int(),
          workflowRun: z.object({ steps: z.array(z.object({ nodeId: z.string() })) }),
          events: z.object({ nodes: z.array(z.object({ version: z.int() })) }),
        }),
      }),
    });
    const operation = { query, variables: { jobId: held.job.jobId } };
    await using changes = watch("graphql-sse", server.url, operation, (data) => payload.parse(data).change.job);
    for (const [index, nodeId] of ["a", "b", "c"].entries()) {
      await changes.until((seen) => seen.length > index);
      ok(await advanceWorkflow(engine, aStep(held, nodeId)));
    }
    const seen = await changes.until((all) => all.length === 4);
    expect(seen.map(({ workflowRun }) => workflowRun.steps.map(({ nodeId }) => nodeId).join(""))).toEqual([
      "",
      "a",
      "ab",
      "abc",
    ]);
    expect(seen.map(({ version, events }) => [version, events.nodes[0]?.version])).toEqual([
      [2, 2],
      [3, 3],
      [4, 4],
      [5, 5],
    ]);
  });

  const TWICE = graphql(`
    mutation RelationsTwice($first: CancelAiJobInput!, $second: ReportSecurityViolationInput!) {
      cancelAiJob(input: $first) {
        ... on CancelAiJobPayload {
          job {
            events(last: 1) {
              nodes {
                type
              }
            }
          }
        }
      }
      reportSecurityViolation(input: $second) {
        ... on ReportSecurityViolationPayload {
          job {
            events(last: 1) {
              nodes {
                type
              }
            }
          }
        }
      }
    }
  `);

  test("by the second field of a mutation, after what the first one did", async () => {
    const { jobId } = await submitted(engineOn(db));
    const found = { guardName: "g", trigger: "t", description: "d", sourceId: null, violationType: "EXPORT" } as const;
    const answer = await run(server.url, TWICE, { first: { jobId, reason: "test" }, second: { jobId, ...found } });
    expect(answer).toEqual({
      cancelAiJob: { job: { events: { nodes: [{ type: "STATE_CHANGED" }] } } },
      reportSecurityViolation: { job: { events: { nodes: [{ type: "SECURITY_VIOLATION" }] } } },
    });
  });
});
