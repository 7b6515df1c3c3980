import { METRIC_NAMES, type MetricName } from "../db/job-columns.ts";
import { type JobMetrics, MAX_SAFE_METRIC, ZERO_METRICS } from "../db/metrics.ts";
import { InvalidInputError } from "../errors.ts";

/** A metric that workers report. The server computes `totalTokens` itself. */
export type ReportedMetric = Exclude<MetricName, "totalTokens">;

/** What a report adds to each metric: integers from 0 to 2^53 - 1. */
export type MetricsDelta = Readonly<Record<ReportedMetric, number>>;

/** @returns an object with the value that `valueOf` gives for each metric that workers report. */
export function forEachReportedMetric<Value>(valueOf: (name: ReportedMetric) => Value): Record<ReportedMetric, Value>;
export function forEachReportedMetric(valueOf: (name: ReportedMetric) => unknown): Record<string, unknown> {
  return Object.fromEntries(REPORTED_METRICS.map((name) => [name, valueOf(name)]));
}

const REPORTED_METRICS: readonly ReportedMetric[] = METRIC_NAMES.filter((name) => name !== "totalTokens");

/** A report that adds nothing. */
export const NO_METRICS: MetricsDelta = forEachReportedMetric(() => 0);

/** Whether a job's tokens exceed its budget. The report that crossed the budget is kept, and the job fails (section 6). */
export function isOverBudget(job: { readonly tokenBudget: bigint | null }, { totalTokens }: JobMetrics): boolean {
  return job.tokenBudget !== null && totalTokens > job.tokenBudget;
}

/** Whether a delta changes nothing. A heartbeat with such a delta makes no new version of its job (section 4). */
export function isZero(delta: MetricsDelta): boolean {
  return Object.values(delta).every((value) => value === 0);
}

/**
 * Adds a report's metrics to a job's.
 * @param path the path of the delta in the caller's input, for the error.
 * @returns the new metrics; or the reason why the whole delta is refused: a metric beyond 2^53 - 1, or more tokens of planner
 *   and executor than in total (section 3).
 */
export function addMetrics(
  before: JobMetrics,
  delta: MetricsDelta,
  path: readonly string[],
): JobMetrics | InvalidInputError {
  const after = { ...ZERO_METRICS };
  for (const name of REPORTED_METRICS) after[name] = before[name] + BigInt(delta[name]);
  after.totalTokens = after.inputTokens + after.outputTokens;
  const overflowing = METRIC_NAMES.find((name) => after[name] > MAX_SAFE_METRIC);
  if (overflowing)
    return new InvalidInputError([...path, overflowing], `This would raise ${overflowing} above 2^53 - 1.`);
  if (after.tokensPlanner + after.tokensExecutor > after.totalTokens) {
    return new InvalidInputError(
      [...path, "tokensPlanner"],
      "tokensPlanner and tokensExecutor are parts of totalTokens: their sum must not exceed it.",
    );
  }
  return after;
}

/**
 * Adds the guards that the server ran to a job's count of validators. The count stops at 2^53 - 1 instead of failing:
 * otherwise a worker could report a huge count and so prevent its job from being poisoned.
 */
export function countGuards(job: JobMetrics, guardsRun: number): { readonly validatorsRunCount: bigint } {
  const count = job.validatorsRunCount + BigInt(guardsRun);
  return { validatorsRunCount: count > MAX_SAFE_METRIC ? MAX_SAFE_METRIC : count };
}
