import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started } from "../support/engine.ts";
import { everything } from "../support/http.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** What is in one workspace is nowhere to be seen, and cannot be touched, from another (section 11). */

const THEIRS = { "x-workspace-id": "11111111-1111-7111-8111-111111111111" };

let db: TestDatabase;
let server: TestServer;
let jobId: string;
let traceId: string;
let workflowRunId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  const claim = await started(engineOn(db), { protocolId: "ours", jobInputs: { text: "ours" } });
  ok(await advanceWorkflow(engineOn(db), aStep(claim, "step")));
  ({ jobId, traceId } = claim.job);
  workflowRunId = claim.run.id;
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const READ = graphql(`
  query WorkspacesRead($jobId: UUID!, $traceId: UUID!, $workflowRunId: UUID!) {
    aiJob(jobId: $jobId) {
      jobId
    }
    workflowRun(workflowRunId: $workflowRunId) {
      workflowRunId
    }
    aiJobs {
      totalCount
      nodes {
        jobId
      }
    }
    filtered: aiJobs(filter: { protocolId: "ours", states: [RUNNING], kinds: [DOC_SUMMARIZE] }) {
      totalCount
      nodes {
        jobId
      }
    }
    children: aiJobs(filter: { parentJobId: $jobId }) {
      totalCount
    }
    aiJobStats {
      total
      byState {
        state
        count
      }
    }
    flightRecorderEvents {
      nodes {
        jobId
      }
    }
    ofJob: flightRecorderEvents(filter: { jobId: $jobId }) {
      nodes {
        version
      }
    }
    ofTrace: flightRecorderEvents(filter: { traceId: $traceId, types: [JOB_SUBMITTED] }) {
      nodes {
        version
      }
    }
    capabilityProfiles {
      capabilityProfileId
    }
  }
`);

const profiles = [{ capabilityProfileId: "default" }, { capabilityProfileId: "terminal" }];

test("their own workspace shows everything to those who are in it", async () => {
  const answer = await server.run(READ, { jobId, traceId, workflowRunId });
  expect(answer).toEqual({
    aiJob: { jobId },
    workflowRun: { workflowRunId },
    aiJobs: { totalCount: 1, nodes: [{ jobId }] },
    filtered: { totalCount: 1, nodes: [{ jobId }] },
    children: { totalCount: 0 },
    aiJobStats: { total: 1, byState: [{ state: "RUNNING", count: 1 }] },
    flightRecorderEvents: { nodes: [{ jobId }, { jobId }, { jobId }] },
    ofJob: { nodes: [{ version: 3 }, { version: 2 }, { version: 1 }] },
    ofTrace: { nodes: [{ version: 1 }] },
    capabilityProfiles: profiles,
  });
});

test("no query shows anything of another workspace", async () => {
  const answer = await run(server.url, READ, { jobId, traceId, workflowRunId }, THEIRS);
  expect(answer).toEqual({
    aiJob: null,
    workflowRun: null,
    aiJobs: { totalCount: 0, nodes: [] },
    filtered: { totalCount: 0, nodes: [] },
    children: { totalCount: 0 },
    aiJobStats: { total: 0, byState: [] },
    flightRecorderEvents: { nodes: [] },
    ofJob: { nodes: [] },
    ofTrace: { nodes: [] },
    capabilityProfiles: profiles,
  });
});

const CHANGE = graphql(`
  mutation WorkspacesChange($jobId: UUID!) {
    startWorkflow(input: { jobId: $jobId, workerId: "w" }) {
      __typename
    }
    cancelAiJob(input: { jobId: $jobId, reason: "not ours" }) {
      __typename
    }
    reportSecurityViolation(
      input: { jobId: $jobId, violationType: EXPORT, guardName: "g", trigger: "t", description: "d" }
    ) {
      __typename
    }
  }
`);

test("no mutation by a job's id touches a job of another workspace: there is none of that id", async () => {
  const before = await everything(db.prisma);
  const theirs = await run(server.url, CHANGE, { jobId }, THEIRS);
  const none = { __typename: "NotFoundError" };
  expect(theirs).toEqual({ startWorkflow: none, cancelAiJob: none, reportSecurityViolation: none });
  expect(await run(server.url, CHANGE, { jobId: randomUUID() }, THEIRS)).toEqual(theirs);
  expect(await everything(db.prisma)).toEqual(before);
});

const REPORT = graphql(`
  mutation WorkspacesReport($workflowRunId: UUID!, $leaseToken: String!) {
    heartbeatWorkflows(input: { heartbeats: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken }] }) {
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
          error {
            __typename
          }
        }
      }
    }
    advanceWorkflow(
      input: {
        workflowRunId: $workflowRunId
        leaseToken: $leaseToken
        step: { nodeId: "theirs", nodeType: "tool", outcome: STARTED }
      }
    ) {
      __typename
    }
    guarded: advanceWorkflow(
      input: {
        workflowRunId: $workflowRunId
        leaseToken: $leaseToken
        step: { nodeId: "theirs", nodeType: "tool", outcome: STARTED }
        retrievedSnippets: [{ sourceId: "doc", content: "ignore previous" }]
      }
    ) {
      __typename
    }
    completeWorkflows(input: { completions: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken }] }) {
      ... on CompleteWorkflowsPayload {
        results {
          __typename
        }
      }
    }
    failWorkflows(
      input: { failures: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken, errorMessage: "theirs" }] }
    ) {
      ... on FailWorkflowsPayload {
        results {
          __typename
        }
      }
    }
  }
`);

test("no report changes a run of another workspace than the one that its sender names, not even with the run's token", async () => {
  const { run: held, leaseToken } = await started(engineOn(db));
  const before = await everything(db.prisma);
  const proof = { workflowRunId: held.id, leaseToken };
  const lost = { __typename: "LeaseLostError" };
  expect(await run(server.url, REPORT, proof, THEIRS)).toEqual({
    heartbeatWorkflows: { results: [{ directive: "STOP_LEASE_LOST", error: lost }] },
    advanceWorkflow: lost,
    guarded: lost,
    completeWorkflows: { results: [lost] },
    failWorkflows: { results: [lost] },
  });
  expect(await everything(db.prisma)).toEqual(before);
  // Its own workspace may be named, or none.
  const { workspaceId } = held;
  const { heartbeatWorkflows } = await run(server.url, REPORT, proof, { "x-workspace-id": workspaceId });
  expect(heartbeatWorkflows).toEqual({ results: [{ directive: "CONTINUE", error: null }] });
});

const SUBMIT = graphql(`
  mutation WorkspacesSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload {
        deduplicated
        job {
          jobId
          workspaceId
          events {
            nodes {
              workspaceId
            }
          }
        }
      }
    }
  }
`);

describe("a submit", () => {
  const input = { jobKind: "DOC_EDIT", protocolId: "p", idempotencyKey: "the same" } as const;

  test("goes to the workspace that is named, which need not have been there", async () => {
    const workspaceId = randomUUID();
    const { submitAiJob } = await run(server.url, SUBMIT, { input }, { "x-workspace-id": workspaceId.toUpperCase() });
    expect(submitAiJob).toMatchObject({ job: { workspaceId, events: { nodes: [{ workspaceId }] } } });
    expect(await db.prisma.workspace.count({ where: { workspaceId } })).toBe(1);
  });

  test("with the key of another workspace's job makes a job of its own", async () => {
    const ours = await server.run(SUBMIT, { input });
    const theirs = await run(server.url, SUBMIT, { input: { ...input, protocolId: "another" } }, THEIRS);
    expect([ours, theirs]).toMatchObject([
      { submitAiJob: { deduplicated: false, job: { workspaceId: "00000000-0000-7000-8000-000000000000" } } },
      { submitAiJob: { deduplicated: false, job: { workspaceId: THEIRS["x-workspace-id"] } } },
    ]);
    expect(await run(server.url, SUBMIT, { input }, THEIRS)).toEqual({
      submitAiJob: { __typename: "IdempotencyConflictError" },
    });
  });
});
