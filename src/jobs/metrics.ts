import { type JobMetrics, MAX_SAFE_METRIC, METRIC_NAMES, type MetricName } from "../db/rows.ts";
import { InvalidInputError } from "../errors.ts";

/** What a report adds: whole numbers from 0 to 2^53 - 1. The total is the server's. */
export type MetricsDelta = Readonly<Record<Exclude<MetricName, "totalTokens">, number>>;

export const NO_METRICS: MetricsDelta = {
  durationMs: 0,
  inputTokens: 0,
  outputTokens: 0,
  tokensPlanner: 0,
  tokensExecutor: 0,
  entitiesRead: 0,
  entitiesWritten: 0,
  validatorsRunCount: 0,
};

/** Whether a job has cost more than it may: the report that brought it there is kept, and the job fails (section 6). */
export function isOverBudget(job: { readonly tokenBudget: bigint | null }, { totalTokens }: JobMetrics): boolean {
  return job.tokenBudget !== null && totalTokens > job.tokenBudget;
}

/** Whether a report adds nothing, so that it needs no version of its own. */
export function isZero(delta: MetricsDelta): boolean {
  return Object.values(delta).every((value) => value === 0);
}

/**
 * A job's metrics after a report.
 * @param path where the delta stands in the caller's input.
 * @returns the metrics, or why the delta is refused as a whole (section 3).
 */
export function addMetrics(
  before: JobMetrics,
  delta: MetricsDelta,
  path: readonly string[],
): JobMetrics | InvalidInputError {
  const inputTokens = before.inputTokens + BigInt(delta.inputTokens);
  const outputTokens = before.outputTokens + BigInt(delta.outputTokens);
  const after: JobMetrics = {
    durationMs: before.durationMs + BigInt(delta.durationMs),
    totalTokens: inputTokens + outputTokens,
    inputTokens,
    outputTokens,
    tokensPlanner: before.tokensPlanner + BigInt(delta.tokensPlanner),
    tokensExecutor: before.tokensExecutor + BigInt(delta.tokensExecutor),
    entitiesRead: before.entitiesRead + BigInt(delta.entitiesRead),
    entitiesWritten: before.entitiesWritten + BigInt(delta.entitiesWritten),
    validatorsRunCount: before.validatorsRunCount + BigInt(delta.validatorsRunCount),
  };
  const tooMuch = METRIC_NAMES.find((name) => after[name] > MAX_SAFE_METRIC);
  if (tooMuch) return new InvalidInputError([...path, tooMuch], `This would take ${tooMuch} past 2^53 - 1.`);
  if (after.tokensPlanner + after.tokensExecutor > after.totalTokens) {
    return new InvalidInputError(
      [...path, "tokensPlanner"],
      "tokensPlanner and tokensExecutor split the total: together they cannot exceed it.",
    );
  }
  return after;
}

/**
 * The job's count of validators after the server ran `guards` of them. It stops at the largest count there is instead
 * of failing: a worker must not be able to keep a job from being poisoned by reporting a huge one.
 */
export function countGuards(job: JobMetrics, guards: number): { readonly validatorsRunCount: bigint } {
  const count = job.validatorsRunCount + BigInt(guards);
  return { validatorsRunCount: count > MAX_SAFE_METRIC ? MAX_SAFE_METRIC : count };
}
