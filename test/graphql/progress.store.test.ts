import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { ProgressInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { HOSTILE } from "../support/jobs.ts";
import { PROTOCOLS, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Progress as workers report it and people see it (section 13). */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  // Its second never passes by itself.
  server = await startTestServer(db, { progressIntervalMs: 3_600_000 });
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const BEAT = graphql(`
  mutation ProgressBeat($heartbeats: [WorkflowHeartbeatInput!]!) {
    heartbeatWorkflows(input: { heartbeats: $heartbeats }) {
      __typename
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
          leaseExpiresAt
          error {
            __typename
            code
            directive
          }
        }
      }
      ... on InvalidInputError {
        issues {
          path
          message
        }
      }
    }
  }
`);

const ADVANCE = graphql(`
  mutation ProgressAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on AdvanceWorkflowPayload {
        job {
          version
          progress {
            fraction
            message
            at
          }
        }
      }
      ... on JobPoisoned {
        job {
          progress {
            message
          }
        }
      }
      ... on InvalidInputError {
        issues {
          path
          message
        }
      }
    }
  }
`);

const LOOK = graphql(`
  query ProgressLook($jobId: UUID!) {
    aiJob(jobId: $jobId) {
      version
      updatedAt
      progress {
        fraction
        message
        at
      }
    }
    aiJobs(first: 1) {
      nodes {
        jobId
        progress {
          fraction
          message
          at
        }
      }
    }
  }
`);

async function aRun() {
  const { job, run, leaseToken } = await started(engineOn(db));
  return { jobId: job.jobId, proof: { workflowRunId: run.id, leaseToken } };
}

type Held = Awaited<ReturnType<typeof aRun>>;
const step = { nodeId: "read", nodeType: "tool", outcome: "STARTED" } as const;
const beat = ({ proof }: Held, progress: ProgressInput) => server.run(BEAT, { heartbeats: [{ ...proof, progress }] });
const advance = ({ proof }: Held, progress: ProgressInput) =>
  server.run(ADVANCE, { input: { ...proof, step, progress } });

test("a job has none, until its worker reports some: the last of it, by itself and in lists", async () => {
  const held = await aRun();
  const { jobId } = held;
  expect((await server.run(LOOK, { jobId })).aiJob).toMatchObject({ version: 2, progress: null });
  expect(await beat(held, { fraction: 0.25, message: "reading page 3 of 12" })).toMatchObject({
    heartbeatWorkflows: { results: [{ directive: "CONTINUE", error: null }] },
  });
  const { aiJob, aiJobs } = await server.run(LOOK, { jobId });
  const progress = { fraction: 0.25, message: "reading page 3 of 12", at: aiJob?.updatedAt };
  expect(aiJob).toMatchObject({ version: 3, progress });
  expect(aiJobs.nodes[0]).toEqual({ jobId, progress });
});

test("a step's is there at once, and replaces both of what was said before", async () => {
  const held = await aRun();
  await beat(held, { fraction: 0.25, message: "reading" });
  expect((await advance(held, { fraction: 0.5 })).advanceWorkflow).toMatchObject({
    job: { version: 4, progress: { fraction: 0.5, message: null } },
  });
});

const MINUS_ZERO = graphql(`
  mutation ProgressMinusZero($workflowRunId: UUID!, $leaseToken: String!) {
    heartbeatWorkflows(
      input: {
        heartbeats: [{ workflowRunId: $workflowRunId, leaseToken: $leaseToken, progress: { fraction: -0.0 } }]
      }
    ) {
      __typename
    }
  }
`);

test("minus zero is nothing else than zero", async () => {
  const { proof, jobId } = await aRun();
  await server.run(MINUS_ZERO, proof);
  const row = await db.prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
  expect(Object.is(row.progressFraction, 0)).toBe(true);
});

describe.each([
  ["without either", {}, "progress"],
  ["with nulls", { fraction: null, message: null }, "progress"],
  ["below 0", { fraction: -0.01 }, "progress.fraction"],
  ["above 1", { fraction: 1.01 }, "progress.fraction"],
  ["with an empty message", { message: "" }, "progress.message"],
  ["with 201 characters", { message: "x".repeat(201) }, "progress.message"],
  ["with U+0000", { message: "a\0b" }, "progress.message"],
])("progress %s is refused", (_, progress: ProgressInput, path) => {
  test("with a heartbeat, and with a step", async () => {
    const held = await aRun();
    expect((await beat(held, progress)).heartbeatWorkflows).toMatchObject({
      __typename: "InvalidInputError",
      issues: [{ path: ["input", "heartbeats", "0", ...path.split(".")] }],
    });
    expect((await advance(held, progress)).advanceWorkflow).toMatchObject({
      __typename: "InvalidInputError",
      issues: [{ path: ["input", ...path.split(".")] }],
    });
    expect((await server.run(LOOK, { jobId: held.jobId })).aiJob).toMatchObject({ version: 2, progress: null });
  });
});

test("a message that overrides a model's instructions poisons the job, and the heartbeat says so", async () => {
  const [held, other] = [await aRun(), await aRun()];
  await beat(held, { message: "reading" });
  const heartbeats = [
    { ...held.proof, progress: { message: HOSTILE } },
    { ...other.proof, progress: { fraction: 1 } },
  ];
  const error = { __typename: "JobPoisonedError", code: "JOB_POISONED", directive: "STOP_POISONED" };
  expect((await server.run(BEAT, { heartbeats })).heartbeatWorkflows).toMatchObject({
    results: [
      { directive: "STOP_POISONED", leaseExpiresAt: null, error },
      { directive: "CONTINUE", error: null },
    ],
  });
  expect((await server.run(LOOK, { jobId: held.jobId })).aiJob?.progress).toBeNull();
  expect((await advance(other, { message: HOSTILE })).advanceWorkflow).toEqual({
    __typename: "JobPoisoned",
    job: { progress: null },
  });
});

const change = z.object({
  change: z.object({ kind: z.string(), job: z.object({ progress: z.object({ fraction: z.number() }).nullable() }) }),
});

test.each(PROTOCOLS)("whoever watches the job over %s sees it", async (protocol) => {
  const held = await aRun();
  const query =
    "subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) { kind job { progress { fraction } } } }";
  const operation = { query, variables: { jobId: held.jobId } };
  await using changes = watch(protocol, server.url, operation, (data) => change.parse(data).change);
  await changes.until((seen) => seen.length === 1);
  await beat(held, { fraction: 0.75 });
  const seen = await changes.until((all) => all.length === 2);
  expect(seen).toEqual([
    { kind: "SNAPSHOT", job: { progress: null } },
    { kind: "EVENT", job: { progress: { fraction: 0.75 } } },
  ]);
});
