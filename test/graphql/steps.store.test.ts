import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import type { WorkflowStepInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { recordsOf } from "../support/records.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** Steps as workers send them: one, several, with startedAt, and with a completion (sections 6 and 13). */

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

const ADVANCE = graphql(`
  mutation StepsAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on AdvanceWorkflowPayload {
        node {
          nodeId
          sequence
        }
      }
      ... on InvalidInputError {
        path
        message
      }
    }
  }
`);
const COMPLETE = graphql(`
  mutation StepsComplete($input: CompleteWorkflowsInput!) {
    completeWorkflows(input: $input) {
      __typename
      ... on CompleteWorkflowsPayload {
        results {
          __typename
          ... on CompletedWorkflow {
            workflowRun {
              steps {
                nodeId
                inputPayload
                outputPayload
                startedAt
                metrics {
                  totalTokens
                }
                modelUsage {
                  model
                  calls
                }
              }
            }
          }
          ... on InvalidInputError {
            path
          }
        }
      }
      ... on InvalidInputError {
        path
      }
    }
  }
`);

const START: WorkflowStepInput = { nodeId: "a", nodeType: "tool", outcome: "STARTED" };
const END: WorkflowStepInput = { nodeId: "a", nodeType: "tool", outcome: "SUCCEEDED" };
const WHOLE: WorkflowStepInput = { ...END, startedAt: "2026-01-01T00:00:00Z" };

async function lease() {
  const held = await started(engine);
  return { held, proof: { workflowRunId: held.run.id, leaseToken: held.leaseToken } };
}

describe("a report", () => {
  test.each([
    ["neither step nor steps", {}, ["input", "steps"]],
    ["both", { step: START, steps: [END] }, ["input", "steps"]],
    [
      "more than 100 steps",
      { steps: Array.from({ length: 101 }, (_, at) => ({ ...START, nodeId: `n${at}` })) },
      ["input", "steps"],
    ],
    [
      "a start with startedAt",
      { step: { ...START, startedAt: "2026-01-01T00:00:00Z" } },
      ["input", "step", "startedAt"],
    ],
    [
      "an end with an input, and no startedAt",
      { steps: [START, { ...END, inputPayload: 1 }] },
      ["input", "steps", 1, "inputPayload"],
    ],
    [
      "an end that depends, and has no startedAt",
      { step: { ...END, dependsOn: ["b"] } },
      ["input", "step", "dependsOn"],
    ],
    ["one step that was not started", { step: END }, ["input", "step", "nodeId"]],
    ["several, of which one was not started", { steps: [WHOLE, END] }, ["input", "steps", 1, "nodeId"]],
  ])("of %s is told where", async (_, more, path) => {
    const { held, proof } = await lease();
    const before = await recordsOf(db.prisma, held.job.jobId);
    const { advanceWorkflow } = await run(server.url, ADVANCE, { input: { ...proof, ...more } });
    expect(advanceWorkflow).toMatchObject({ __typename: "InvalidInputError", path: path.map(String) });
    expect(await recordsOf(db.prisma, held.job.jobId)).toEqual(before);
  });

  test("of one step, or of several, answers the node of the last", async () => {
    const { proof } = await lease();
    const one = await run(server.url, ADVANCE, { input: { ...proof, step: START } });
    expect(one.advanceWorkflow).toMatchObject({ node: { nodeId: "a", sequence: 1 } });
    const several = await run(server.url, ADVANCE, {
      input: { ...proof, steps: [END, WHOLE, { ...START, nodeId: "b" }] },
    });
    expect(several.advanceWorkflow).toMatchObject({ node: { nodeId: "b", sequence: 3 } });
  });
});

test("a job of one step is two requests: what it used shows at the step", async () => {
  const { proof } = await lease();
  const step = {
    ...WHOLE,
    nodeType: "llm_call",
    inputPayload: { page: 1 },
    outputPayload: { words: 7 },
    dependsOn: [],
  };
  const metrics = { usage: [{ provider: "openai", model: "gpt-5", inputTokens: 9, outputTokens: 4 }] };
  const completion = { ...proof, jobOutputs: { ok: true }, steps: [step], metrics };
  const { completeWorkflows } = await run(server.url, COMPLETE, { input: { completions: [completion] } });
  expect(completeWorkflows).toMatchObject({
    results: [
      {
        __typename: "CompletedWorkflow",
        workflowRun: {
          steps: [
            {
              nodeId: "a",
              inputPayload: { page: 1 },
              outputPayload: { words: 7 },
              metrics: { totalTokens: 13 },
              modelUsage: [{ model: "gpt-5", calls: 1 }],
            },
          ],
        },
      },
    ],
  });
});

test("a completion is told which of its steps does not fit, others of the call are done", async () => {
  const [wrong, right] = [await lease(), await lease()];
  const completions = [
    { ...wrong.proof, steps: [WHOLE, END] },
    { ...right.proof, steps: [WHOLE] },
  ];
  const { completeWorkflows } = await run(server.url, COMPLETE, { input: { completions } });
  expect(completeWorkflows).toMatchObject({
    results: [
      { __typename: "InvalidInputError", path: ["input", "completions", "0", "steps", "1", "nodeId"] },
      { __typename: "CompletedWorkflow" },
    ],
  });
  const refused = await run(server.url, COMPLETE, {
    input: { completions: [{ ...wrong.proof, steps: [{ ...START, outputPayload: 1 }] }] },
  });
  expect(refused.completeWorkflows).toMatchObject({
    path: ["input", "completions", "0", "steps", "0", "outputPayload"],
  });
});
