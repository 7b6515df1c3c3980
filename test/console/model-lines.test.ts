import { expect, test } from "vitest";
import { modelLines, type UsedJob } from "../../console/src/job/model-lines.ts";

/** What a job's models had used up to each time, of what the API says of its runs and steps. */

const START = Date.parse("2026-12-01T08:00:00.000Z");
const at = (second: number) => new Date(START + second * 1000).toISOString();

function used(model: string, costMicros: number) {
  const tokens = { inputTokens: 0, cachedInputTokens: 0, outputTokens: 0, reasoningTokens: 0 };
  return { provider: "openai", model, costMicros, ...tokens };
}

type Run = UsedJob["workflowRuns"]["nodes"][number];

function run(more: Partial<Run>): Run {
  return { startedAt: at(0), finishedAt: null, lastHeartbeat: at(0), modelUsage: [], steps: [], ...more };
}

function job(modelUsage: UsedJob["modelUsage"], nodes: Run[]): UsedJob {
  return { updatedAt: at(0), endedAt: null, modelUsage, workflowRuns: { nodes } };
}

test("each step adds what its models used when it ends, and nothing is lost between", () => {
  const steps = [
    { startedAt: at(0), finishedAt: at(10), modelUsage: [used("large", 2_500_000), used("small", 1_000_000)] },
    { startedAt: at(10), finishedAt: at(20), modelUsage: [used("large", 500_000)] },
    { startedAt: at(20), finishedAt: null, modelUsage: [used("small", 250_000)] },
  ];
  const all = [used("small", 1_250_000), used("large", 3_000_000)];
  const { times, lines } = modelLines(job(all, [run({ modelUsage: all, steps })]), "cost", START + 30_000);
  expect(times.map((time) => time - START / 1000)).toEqual([0, 10, 20, 30]);
  expect(lines).toEqual([
    { name: "openai large", values: [0, 2.5, 3, 3] },
    { name: "openai small", values: [0, 1, 1.25, 1.25] },
  ]);
});

test("tokens are all that the job's total has: those from a cache and those to reason, too", () => {
  const tokens = { inputTokens: 100, cachedInputTokens: 50, outputTokens: 20, reasoningTokens: 7 };
  const all = [{ ...used("large", 5), ...tokens }];
  const steps = [{ startedAt: at(0), finishedAt: at(10), modelUsage: all }];
  const { lines } = modelLines(job(all, [run({ modelUsage: all, steps })]), "tokens", START + 10_000);
  expect(lines).toEqual([{ name: "openai large", values: [0, 177] }]);
});

test("what no step has stands at the end of its run, and what no run has at the beginning", () => {
  const steps = [{ startedAt: at(0), finishedAt: at(10), modelUsage: [used("large", 1_000_000)] }];
  const ended = run({ finishedAt: at(20), modelUsage: [used("large", 3_000_000)], steps });
  const going = run({ startedAt: at(30), lastHeartbeat: at(40), modelUsage: [used("large", 1_000_000)] });
  const { times, lines } = modelLines(job([used("large", 9_000_000)], [going, ended]), "cost", START + 50_000);
  expect(times.map((time) => time - START / 1000)).toEqual([0, 10, 20, 40, 50]);
  expect(lines).toEqual([{ name: "openai large", values: [5, 6, 8, 9, 9] }]);
});

test("of many models those that have used most have lines of their own", () => {
  const all = Array.from({ length: 10 }, (_, index) => used(`model-${index}`, (index + 1) * 1_000_000));
  const steps = [{ startedAt: at(0), finishedAt: at(10), modelUsage: all }];
  const { lines } = modelLines(job(all, [run({ modelUsage: all, steps })]), "cost", START + 10_000);
  expect(lines.map(({ name, values }) => [name, values.at(-1)])).toEqual([
    ["openai model-9", 10],
    ["openai model-8", 9],
    ["openai model-7", 8],
    ["openai model-6", 7],
    ["openai model-5", 6],
    ["openai model-4", 5],
    ["all others", 10],
  ]);
});

test("seven models have a line each", () => {
  const all = Array.from({ length: 7 }, (_, index) => used(`model-${index}`, 1_000_000));
  const { lines } = modelLines(job(all, []), "cost", START);
  expect(lines.map(({ values }) => values)).toEqual(Array.from({ length: 7 }, () => [1]));
});
