import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { metricsOf } from "../../src/db/metrics.ts";
import type { EngineContext } from "../../src/engine.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started } from "../support/engine.ts";
import { expectSound, recordsOf } from "../support/records.ts";

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = (jobId: string) => recordsOf(db.prisma, jobId);

describe("a step", () => {
  test("that starts and then ends is one execution, with both payloads kept", async () => {
    const held = await started(engine);
    const inputPayload = { prompt: "Summarise.", pages: [1, 2] };
    const outputPayload = { summary: "short" };
    const begun = ok(await advanceWorkflow(engine, aStep(held, "n", { nodeType: "llm_call", inputPayload })));
    expect(begun).toMatchObject({ node: { nodeId: "n", state: "RUNNING", sequence: 1, finishedAt: null } });
    const ending = { nodeType: "llm_call", outcome: "SUCCEEDED" as const, outputPayload };
    ok(await advanceWorkflow(engine, aStep(held, "n", ending)));
    const after = await records(held.job.jobId);
    expectSound(after);
    expect(after.nodes).toMatchObject([
      { nodeId: "n", nodeType: "llm_call", state: "COMPLETED", sequence: 1, inputPayload, outputPayload },
    ]);
    expect(after.nodes[0]?.finishedAt).toEqual(expect.any(Date));
    expect(after.events.slice(-2)).toMatchObject([
      {
        type: "LLM_INFERENCE",
        payload: { steps: [{ node_id: "n", sequence: 1, outcome: "started", error_message: null }] },
      },
      {
        type: "LLM_INFERENCE",
        payload: { steps: [{ node_id: "n", sequence: 1, outcome: "succeeded", error_message: null }] },
      },
    ]);
    // What went in and came out is the node's, and not told in the log.
    expect(JSON.stringify(after.events.map(({ payload }) => payload))).not.toMatch(/Summarise|short/);
  });

  test("that fails does not fail its run; its message is kept without secrets", async () => {
    const held = await started(engine);
    ok(await advanceWorkflow(engine, aStep(held, "n")));
    const errorMessage = "refused: Bearer 0123456789abcdef";
    ok(await advanceWorkflow(engine, aStep(held, "n", { outcome: "FAILED", errorMessage })));
    const after = await records(held.job.jobId);
    expect(after).toMatchObject({
      job: { state: "RUNNING" },
      runs: [{ state: "RUNNING" }],
      nodes: [{ state: "FAILED", errorMessage: "refused: [redacted]" }],
    });
    expect(after.events.at(-1)?.payload).toMatchObject({
      steps: [{ outcome: "failed", error_message: "refused: [redacted]" }],
    });
  });

  test("that ended may start again: every execution is kept, in order", async () => {
    const held = await started(engine);
    for (const outcome of ["STARTED", "FAILED", "STARTED", "SUCCEEDED", "STARTED"] as const) {
      ok(await advanceWorkflow(engine, aStep(held, "n", { outcome })));
    }
    ok(await advanceWorkflow(engine, aStep(held, "other")));
    const { nodes } = await records(held.job.jobId);
    expect(nodes.map(({ nodeId, sequence, state }) => [nodeId, sequence, state])).toEqual([
      ["n", 1, "FAILED"],
      ["n", 2, "COMPLETED"],
      ["n", 3, "RUNNING"],
      ["other", 4, "RUNNING"],
    ]);
  });

  test("brings its metrics in the same version, and the guard that looked at it", async () => {
    const held = await started(engine);
    const before = await records(held.job.jobId);
    const metrics = { ...NO_METRICS, inputTokens: 3, outputTokens: 4, validatorsRunCount: 2, entitiesRead: 1 };
    ok(await advanceWorkflow(engine, { ...aStep(held, "n"), metrics }));
    const after = await records(held.job.jobId);
    expectSound(after);
    expect(after.job.version).toBe(before.job.version + 1);
    const grown = { inputTokens: 3n, outputTokens: 4n, totalTokens: 7n, validatorsRunCount: 3n, entitiesRead: 1n };
    expect(metricsOf(after.job)).toEqual({ ...metricsOf(before.job), ...grown });
  });
});

describe("a step is refused, and changes nothing,", () => {
  const open = (nodeId: string) => ({ nodeId, nodeType: "tool", outcome: "STARTED" as const });

  test.each([
    ["where it is running already", [open("n")], { nodeId: "n" }, "nodeId"],
    ["where it ends and was not started", [], { outcome: "SUCCEEDED" as const }, "nodeId"],
    [
      "where it ends twice",
      [open("n"), { ...open("n"), outcome: "FAILED" as const }],
      { outcome: "FAILED" as const },
      "nodeId",
    ],
    ["where another one is open", [open("m")], { outcome: "SUCCEEDED" as const }, "nodeId"],
    [
      "where it was started as another type",
      [open("n")],
      { outcome: "SUCCEEDED" as const, nodeType: "llm_call" },
      "nodeType",
    ],
  ])("%s", async (_, earlier, more, field) => {
    const held = await started(engine);
    for (const step of earlier) ok(await advanceWorkflow(engine, aStep(held, step.nodeId, step)));
    const before = await records(held.job.jobId);
    const metrics = { ...NO_METRICS, inputTokens: 5 };
    const answer = await advanceWorkflow(engine, { ...aStep(held, "n", more), metrics });
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "steps", "0", field] });
    expect(await records(held.job.jobId)).toEqual(before);
  });

  test.each([
    ["split more tokens than there are", { tokensExecutor: 1 }, "tokensPlanner"],
    ["take a counter past 2^53 - 1", { outputTokens: Number.MAX_SAFE_INTEGER, inputTokens: 1 }, "totalTokens"],
  ])("where its metrics %s", async (_, more, field) => {
    const held = await started(engine);
    const before = await records(held.job.jobId);
    const metrics = { ...NO_METRICS, ...more };
    const answer = await advanceWorkflow(engine, { ...aStep(held, "n"), metrics });
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "metrics", field] });
    expect(await records(held.job.jobId)).toEqual(before);
  });

  test("where the run has 1,000 executions; the last one may still end", async () => {
    const held = await started(engine);
    await db.prisma.$executeRaw`
      INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence, state, finished_at)
      SELECT gen_random_uuid(), ${held.job.workspaceId}::uuid, ${held.run.id}::uuid, 'n' || sequence, 'tool', sequence, 'completed', now()
      FROM generate_series(1, 999) AS sequence`;
    ok(await advanceWorkflow(engine, aStep(held, "last")));
    const before = await records(held.job.jobId);
    const answer = await advanceWorkflow(engine, aStep(held, "one more"));
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "steps", "0", "nodeId"] });
    expect(await records(held.job.jobId)).toEqual(before);
    ok(await advanceWorkflow(engine, aStep(held, "last", { outcome: "SUCCEEDED" })));
  });
});

test("of 20 reports at once that one step starts, one is kept and the others are told that it runs", async () => {
  const held = await started(engine);
  const answers = await Promise.all(Array.from({ length: 20 }, () => advanceWorkflow(engine, aStep(held, "n"))));
  expect(answers.filter((answer) => "node" in answer)).toHaveLength(1);
  expect(answers.filter((answer) => "code" in answer && answer.code === "INVALID_INPUT")).toHaveLength(19);
  const after = await records(held.job.jobId);
  expectSound(after);
  expect(after.nodes).toHaveLength(1);
});

test("of 20 steps at once every one is kept, in 20 versions", async () => {
  const held = await started(engine);
  const metrics = { ...NO_METRICS, inputTokens: 1 };
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) => ok(await advanceWorkflow(engine, { ...aStep(held, `n${n}`), metrics }))),
  );
  const after = await records(held.job.jobId);
  expectSound(after);
  expect(after.job).toMatchObject({ version: 22, inputTokens: 20n });
  expect(after.nodes.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
});
