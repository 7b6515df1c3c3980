import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import type { StepOutcome } from "../../src/runs/steps.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aStep, engineOn, ok, started } from "../support/engine.ts";
import { claim, dueNow } from "../support/jobs.ts";
import { recordsOf } from "../support/records.ts";
import { aCompletion, aFailure, failWorkflow } from "../support/reports.ts";

/** Steps that depend on steps of their run, and runs that complete when their steps have ended [HSK-WF-001]. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

const records = ({ job }: Claim) => recordsOf(db.prisma, job.jobId);

async function report(taken: Claim, ...steps: readonly (readonly [nodeId: string, outcome: StepOutcome])[]) {
  for (const [nodeId, outcome] of steps) ok(await advanceWorkflow(engine, aStep(taken, nodeId, { outcome })));
}

const start = (taken: Claim, nodeId: string, dependsOn: readonly string[]) =>
  advanceWorkflow(engine, {
    ...aStep(taken, nodeId, { dependsOn }),
    metrics: { ...NO_METRICS, inputTokens: 5 },
  });

describe("a step starts", () => {
  test.each([
    ["nothing", [], []],
    ["one that has succeeded", [["a", "STARTED"] as const, ["a", "SUCCEEDED"] as const], ["a"]],
    [
      "one that failed, and has succeeded since",
      [["a", "STARTED"] as const, ["a", "FAILED"] as const, ["a", "STARTED"] as const, ["a", "SUCCEEDED"] as const],
      ["a"],
    ],
    [
      "several that have succeeded, one named twice",
      [["a", "STARTED"] as const, ["b", "STARTED"] as const, ["b", "SUCCEEDED"] as const, ["a", "SUCCEEDED"] as const],
      ["b", "a", "b"],
    ],
  ])("where it depends on %s", async (_, earlier, dependsOn) => {
    const taken = await started(engine);
    await report(taken, ...earlier);
    expect(ok(await start(taken, "next", dependsOn))).toMatchObject({ node: { state: "RUNNING", dependsOn } });
    expect((await records(taken)).nodes.at(-1)).toMatchObject({ nodeId: "next", dependsOn });
  });

  test("once more where it has succeeded itself before", async () => {
    const taken = await started(engine);
    await report(taken, ["a", "STARTED"], ["a", "SUCCEEDED"]);
    expect(ok(await start(taken, "a", ["a"]))).toMatchObject({ node: { sequence: 2, state: "RUNNING" } });
  });
});

describe("a step is refused, and changes nothing, where it depends on", () => {
  const from = (...steps: readonly (readonly [string, StepOutcome])[]) => steps;

  test.each([
    ["one that was never started", from(), ["a"], "never started"],
    ["itself", from(), ["next"], "never started"],
    ["one that has not finished", from(["a", "STARTED"]), ["a"], "not finished"],
    ["one that failed", from(["a", "STARTED"], ["a", "FAILED"]), ["a"], "failed"],
    [
      "one that succeeded, and was started again",
      from(["a", "STARTED"], ["a", "SUCCEEDED"], ["a", "STARTED"]),
      ["a"],
      "not finished",
    ],
    [
      "one that succeeded, and failed the next time",
      from(["a", "STARTED"], ["a", "SUCCEEDED"], ["a", "STARTED"], ["a", "FAILED"]),
      ["a"],
      "failed",
    ],
    ["one of several that has not", from(["a", "STARTED"], ["a", "SUCCEEDED"]), ["a", "b"], "b"],
    ["one whose name differs in case", from(["a", "STARTED"], ["a", "SUCCEEDED"]), ["A"], "never started"],
  ])("%s", async (_, earlier, dependsOn, message) => {
    const taken = await started(engine);
    await report(taken, ...earlier);
    const before = await records(taken);
    const answer = await start(taken, "next", dependsOn);
    expect(answer).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "steps", "0", "dependsOn"] });
    expect(answer).toMatchObject({ message: expect.stringContaining(message) });
    expect(await records(taken)).toEqual(before);
  });

  test("one of the job's earlier run that did not succeed there, or that failed in this one", async () => {
    const first = await started(engine);
    await report(first, ["a", "STARTED"], ["a", "SUCCEEDED"], ["b", "STARTED"], ["b", "FAILED"]);
    ok(await failWorkflow(engine, aFailure(first)));
    await dueNow(engine, first.job.jobId);
    const second = await claim(engine, first.job.jobId);
    const refused = { inputPath: ["input", "steps", "0", "dependsOn"] };
    expect(await start(second, "next", ["b"])).toMatchObject(refused);
    ok(await start(second, "next", ["a"]));
    await report(second, ["a", "STARTED"], ["a", "FAILED"]);
    expect(await start(second, "another", ["a"])).toMatchObject(refused);
  });

  test("anything, though it ends", async () => {
    const taken = await started(engine);
    await report(taken, ["a", "STARTED"], ["a", "SUCCEEDED"], ["b", "STARTED"]);
    const before = await records(taken);
    const ending = aStep(taken, "b", { outcome: "SUCCEEDED", dependsOn: ["a"] });
    expect(await advanceWorkflow(engine, ending)).toMatchObject({ inputPath: ["input", "steps", "0", "dependsOn"] });
    expect(await records(taken)).toEqual(before);
  });
});

test("a thousand names are looked up in one statement", async () => {
  const taken = await started(engine);
  await db.prisma.$executeRaw`
    INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence, state, finished_at)
    SELECT gen_random_uuid(), ${taken.job.workspaceId}::uuid, ${taken.run.id}::uuid, 'n' || sequence, 'tool', sequence, 'completed', now()
    FROM generate_series(1, 999) AS sequence`;
  const names = Array.from({ length: 999 }, (_, at) => `n${at + 1}`);
  db.statements();
  ok(await start(taken, "last", names));
  const forAll = db.statements().length;
  const other = await started(engine);
  await report(other, ["n1", "STARTED"], ["n1", "SUCCEEDED"]);
  db.statements();
  ok(await start(other, "last", ["n1"]));
  expect(db.statements().length).toBe(forAll);
});

describe("a run", () => {
  test.each([
    ["completes", false],
    ["awaits a verdict", true],
  ])("%s only when every node of it has ended", async (_, needsValidation) => {
    const taken = await started(engine);
    await report(taken, ["a", "STARTED"], ["b", "STARTED"], ["b", "FAILED"]);
    const before = await records(taken);
    const completion = aCompletion(taken, { needsValidation });
    const [refused] = await completeWorkflows(engine, [completion]);
    expect(refused).toMatchObject({ code: "INVALID_INPUT", inputPath: ["input", "completions", "0", "workflowRunId"] });
    expect(await records(taken)).toEqual(before);
    await report(taken, ["a", "FAILED"]);
    const [done] = await completeWorkflows(engine, [completion]);
    expect(done).toMatchObject({ job: { state: needsValidation ? "AWAITING_VALIDATION" : "COMPLETED" } });
  });

  test("that fails ends its open nodes as failed, and keeps how the others ended", async () => {
    const taken = await started(engine);
    await report(taken, ["a", "STARTED"], ["b", "STARTED"], ["b", "SUCCEEDED"], ["c", "STARTED"], ["c", "FAILED"]);
    ok(await failWorkflow(engine, aFailure(taken)));
    const { nodes, runs } = await records(taken);
    expect(nodes.map(({ nodeId, state }) => `${nodeId} ${state}`)).toEqual(["a FAILED", "b COMPLETED", "c FAILED"]);
    expect(nodes[0]?.finishedAt).toEqual(runs[0]?.finishedAt);
  });
});
