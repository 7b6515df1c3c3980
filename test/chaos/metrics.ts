import type { ReportInput } from "./entries.ts";
import { type Random, randomInt } from "./plan.ts";

export type Metrics = NonNullable<ReportInput["metrics"]>;

export function drawMetrics(random: Random, mayWrite: boolean): Metrics {
  const inputTokens = randomInt(random, 0, 50);
  const outputTokens = randomInt(random, 0, 20);
  return {
    durationMs: randomInt(random, 1, 500),
    inputTokens,
    outputTokens,
    tokensPlanner: randomInt(random, 0, inputTokens),
    tokensExecutor: randomInt(random, 0, outputTokens),
    entitiesRead: randomInt(random, 0, 3),
    entitiesWritten: mayWrite ? randomInt(random, 0, 2) : 0,
    validatorsRunCount: randomInt(random, 0, 2),
  };
}

/** @returns the metrics with a call of a model, which says the tokens instead of them. */
export function drawCall(random: Random, { inputTokens: _in, outputTokens: _out, ...metrics }: Metrics): Metrics {
  const call = drawModelCall(random);
  return { ...metrics, tokensPlanner: 0, tokensExecutor: call.outputTokens, usage: [call] };
}

/** @returns what a call of a model used. */
export function drawModelCall(random: Random) {
  return {
    provider: "local",
    model: random() < 0.5 ? "small" : "large",
    inputTokens: randomInt(random, 0, 40),
    cachedInputTokens: randomInt(random, 0, 10),
    outputTokens: randomInt(random, 0, 20),
    reasoningTokens: randomInt(random, 0, 10),
    costMicros: randomInt(random, 1, 1000),
  };
}
