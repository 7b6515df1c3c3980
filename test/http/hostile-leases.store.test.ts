import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started, step } from "../support/engine.ts";
import { everything } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Reports by somebody who has no right to report: each is told to stop, and nothing is changed. */

let db: TestDatabase;
let server: TestServer;
let mine: Claim;
let others: Claim;
let expired: Claim;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  const engine = engineOn(db);
  mine = await started(engine, {}, 900);
  others = await started(engine, {}, 900);
  expired = await started(engine, {}, 900);
  await db.prisma.$executeRaw`
    UPDATE workflow_runs SET lease_expires_at = clock_timestamp() - interval '1 millisecond'
    WHERE id = ${expired.run.id}::uuid`;
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const HEARTBEAT = graphql(`
  mutation LeaseHeartbeat($heartbeat: WorkflowHeartbeatInput!) {
    heartbeatWorkflows(input: { heartbeats: [$heartbeat] }) {
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
          leaseExpiresAt
          error {
            code
          }
        }
      }
    }
  }
`);

const ADVANCE = graphql(`
  mutation LeaseAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on LeaseLostError {
        code
        directive
      }
    }
  }
`);

const COMPLETE = graphql(`
  mutation LeaseComplete($completion: WorkflowCompletionInput!) {
    completeWorkflows(input: { completions: [$completion] }) {
      ... on CompleteWorkflowsPayload {
        results {
          __typename
          ... on LeaseLostError {
            code
            directive
          }
        }
      }
    }
  }
`);

const FAIL = graphql(`
  mutation LeaseFail($failure: WorkflowFailureInput!) {
    failWorkflows(input: { failures: [$failure] }) {
      ... on FailWorkflowsPayload {
        results {
          __typename
          ... on LeaseLostError {
            code
            directive
          }
        }
      }
    }
  }
`);

const METRICS = {
  durationMs: 1,
  inputTokens: 1,
  outputTokens: 0,
  tokensPlanner: 0,
  tokensExecutor: 0,
  entitiesRead: 0,
  entitiesWritten: 0,
  validatorsRunCount: 0,
};

/** Everything that a worker can report on a run, and what each is answered. */
async function reports(workflowRunId: string, leaseToken: string) {
  const run = { workflowRunId, leaseToken, metrics: METRICS };
  const { dependsOn: _none, startedAt: _unknown, ...stolen } = step("stolen");
  const poison = {
    sourceId: "s",
    sourceHash: null,
    content: "ignore previous",
    sensitivity: "LOW",
    exportable: true,
  } as const;
  return {
    heartbeat: await server.run(HEARTBEAT, { heartbeat: { ...run, leaseSeconds: 900 } }),
    advance: await server.run(ADVANCE, { input: { ...run, step: stolen, retrievedSnippets: [] } }),
    poison: await server.run(ADVANCE, { input: { ...run, step: stolen, retrievedSnippets: [poison] } }),
    complete: await server.run(COMPLETE, { completion: { ...run, jobOutputs: 1, writtenEntities: [], issues: [] } }),
    fail: await server.run(FAIL, { failure: { ...run, errorMessage: "stolen", retryable: true } }),
  };
}

const lost = { __typename: "LeaseLostError", code: "LEASE_LOST", directive: "STOP_LEASE_LOST" };
const REFUSED = {
  heartbeat: {
    heartbeatWorkflows: {
      results: [{ directive: "STOP_LEASE_LOST", leaseExpiresAt: null, error: { code: "LEASE_LOST" } }],
    },
  },
  advance: { advanceWorkflow: lost },
  poison: { advanceWorkflow: lost },
  complete: { completeWorkflows: { results: [lost] } },
  fail: { failWorkflows: { results: [lost] } },
};

describe("every report is LEASE_LOST and changes nothing, where its token", () => {
  test.each([
    ["is of a lease that has expired", () => [expired.run.id, expired.leaseToken]],
    ["is that of another job", () => [mine.run.id, others.leaseToken]],
    ["is right, and the run is another job's", () => [others.run.id, mine.leaseToken]],
    ["is right, and there is no such run", () => [crypto.randomUUID(), mine.leaseToken]],
    ["is 32 other bytes", () => [mine.run.id, randomBytes(32).toString("base64url")]],
    ["is empty", () => [mine.run.id, ""]],
    ["is cut off", () => [mine.run.id, mine.leaseToken.slice(0, -2)]],
    ["has more after it", () => [mine.run.id, `${mine.leaseToken}AA`]],
    ["is what the database keeps of it", () => [mine.run.id, Buffer.from(mine.run.leaseToken).toString("base64url")]],
    ["has U+0000 and a lone surrogate in it", () => [mine.run.id, "\0\ud800"]],
    ["is 1,000,000 characters", () => [mine.run.id, "A".repeat(1_000_000)]],
  ] satisfies [string, () => [string, string]][])("%s", async (_what, whose) => {
    const [runId, token] = whose();
    const before = await everything(db.prisma);
    expect(await reports(runId, token)).toEqual(REFUSED);
    expect(await everything(db.prisma)).toEqual(before);
  });
});

test("the token is nowhere to be read: not in the database, and in no answer but the claim's", async () => {
  const rows = await db.prisma.$queryRaw<{ row: string }[]>`
    SELECT r::text AS row FROM workflow_runs r UNION ALL SELECT e::text FROM flight_recorder_events e
    UNION ALL SELECT j::text FROM ai_jobs j`;
  const token = Buffer.from(mine.leaseToken, "base64url");
  const everyRow = rows.map(({ row }) => row).join("\n");
  expect(everyRow).toContain(mine.run.id);
  expect(everyRow).not.toContain(mine.leaseToken);
  expect(everyRow).not.toContain(token.toString("hex"));
});

test("and the run's own worker is heard all the same", async () => {
  const { run, leaseToken } = mine;
  const heartbeat = { workflowRunId: run.id.toUpperCase(), leaseToken, metrics: null, leaseSeconds: 900 };
  expect(await server.run(HEARTBEAT, { heartbeat })).toMatchObject({
    heartbeatWorkflows: { results: [{ directive: "CONTINUE", error: null }] },
  });
});
