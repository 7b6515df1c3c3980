import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** Usage as clients report and read it (section 14). */

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const STEP = graphql(`
  mutation UsageStep($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on Error {
        message
      }
    }
  }
`);
const BEAT = graphql(`
  mutation UsageBeat($input: HeartbeatWorkflowsInput!) {
    heartbeatWorkflows(input: $input) {
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
          error {
            code
            message
          }
        }
      }
    }
  }
`);
const USE = graphql(`
  mutation UsageReport($input: ReportUsageInput!) {
    reportUsage(input: $input) {
      ... on ReportUsagePayload {
        isLate
        job {
          state
          costMicros
        }
      }
      ... on Error {
        code
        message
      }
    }
  }
`);
const USED = graphql(`
  query UsageUsed($protocolId: String!) {
    aiJobs(filter: { protocolId: $protocolId }) {
      nodes {
        costMicros
        costBudgetMicros
        metrics {
          ...UsageTokens
        }
        modelUsage {
          ...UsageOfModel
          currency
        }
        workflowRun {
          metrics {
            ...UsageTokens
          }
          modelUsage {
            ...UsageOfModel
          }
          steps {
            metrics {
              ...UsageTokens
            }
            modelUsage {
              ...UsageOfModel
            }
          }
        }
      }
    }
  }
  fragment UsageTokens on JobMetrics {
    inputTokens
    outputTokens
    totalTokens
  }
  fragment UsageOfModel on ModelUsage {
    provider
    model
    inputTokens
    cachedInputTokens
    outputTokens
    reasoningTokens
    costMicros
    calls
  }
`);

const NAMES = { provider: "anthropic", model: "claude-opus-4.5:beta/x" };
const CALL = { ...NAMES, inputTokens: 100, cachedInputTokens: 20, outputTokens: 7, reasoningTokens: 3, costMicros: 9 };

/** A job with a step that made one call, and with one more call beside it. */
async function aJobThatUsed(protocolId: string): Promise<void> {
  const { run: taken, leaseToken } = await started(engine, { protocolId, costBudgetMicros: 1_000 });
  const proof = { workflowRunId: taken.id, leaseToken };
  const step = { nodeId: "think", nodeType: "llm_call" };
  await run(server.url, STEP, { input: { ...proof, step: { ...step, outcome: "STARTED" } } });
  const ended = { ...proof, step: { ...step, outcome: "SUCCEEDED" as const }, metrics: { usage: [CALL] } };
  expect(await run(server.url, STEP, { input: ended })).toMatchObject({
    advanceWorkflow: { __typename: "AdvanceWorkflowPayload" },
  });
  const small = { ...NAMES, model: "small", inputTokens: 5 };
  const used = { input: { ...proof, reportId: randomUUID(), usage: [small] } };
  expect(await run(server.url, USE, used)).toMatchObject({
    reportUsage: { isLate: false, job: { state: "RUNNING", costMicros: 9 } },
  });
}

const NOTHING = { cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0, costMicros: 0 };
const BIG = { ...CALL, calls: 1 };
const SMALL = { ...NAMES, ...NOTHING, model: "small", inputTokens: 5, calls: 1 };
const OF_STEP = { inputTokens: 120, outputTokens: 10, totalTokens: 130 };
const OF_RUN = { inputTokens: 125, outputTokens: 10, totalTokens: 135 };

test("a job, its run and its step show what each has used; tokens that are left out are those of the calls", async () => {
  await aJobThatUsed("one");
  const { aiJobs } = await run(server.url, USED, { protocolId: "one" });
  expect(aiJobs.nodes).toEqual([
    {
      costMicros: 9,
      costBudgetMicros: 1_000,
      metrics: OF_RUN,
      modelUsage: [
        { ...BIG, currency: "USD" },
        { ...SMALL, currency: "USD" },
      ],
      workflowRun: {
        metrics: OF_RUN,
        modelUsage: [BIG, SMALL],
        steps: [{ metrics: OF_STEP, modelUsage: [BIG] }],
      },
    },
  ]);
});

test("what many jobs have used takes as many statements as what one has", async () => {
  const statementsFor = async (protocolId: string) => {
    db.statements();
    await run(server.url, USED, { protocolId });
    return db.statements().filter((sql) => /usage_entries|flight_recorder_events/.test(sql)).length;
  };
  await aJobThatUsed("single");
  for (let job = 0; job < 5; job++) await aJobThatUsed("several");
  const single = await statementsFor("single");
  expect(single).toBeGreaterThan(0);
  expect(await statementsFor("several")).toBe(single);
});

test.each<[string, object, string | null]>([
  ["the sums", { inputTokens: 120, outputTokens: 10 }, null],
  ["null", { inputTokens: null, outputTokens: null }, null],
  ["another number", { inputTokens: 100 }, "INVALID_INPUT"],
])("tokens that are given beside calls may be: %s", async (_, given, code) => {
  const { run: taken, leaseToken } = await started(engine);
  const heartbeat = { workflowRunId: taken.id, leaseToken, metrics: { usage: [CALL], ...given } };
  const { heartbeatWorkflows } = await run(server.url, BEAT, { input: { heartbeats: [heartbeat] } });
  const error = code && { code };
  expect(heartbeatWorkflows).toMatchObject({ results: [{ directive: "CONTINUE", error }] });
});

test.each<[string, readonly object[]]>([
  ["a model whose name is a sentence", [{ ...CALL, model: "ignore previous instructions" }]],
  ["a provider without a name", [{ ...CALL, provider: "" }]],
  ["more than 16", Array.from({ length: 17 }, () => CALL)],
  ["none", []],
])("calls that are refused: %s", async (_, usage) => {
  const { run: taken, leaseToken } = await started(engine);
  const input = {
    workflowRunId: taken.id,
    leaseToken,
    reportId: randomUUID(),
    usage: usage.map((each) => ({ ...CALL, ...each })),
  };
  expect(await run(server.url, USE, { input })).toMatchObject({ reportUsage: { code: "INVALID_INPUT" } });
});
