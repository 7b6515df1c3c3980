import { METRIC_NAMES, type MetricName } from "../db/job-columns.ts";
import { type JobMetrics, MAX_SAFE_METRIC, ZERO_METRICS } from "../db/metrics.ts";
import { InvalidInputError } from "../errors.ts";

/** A metric that workers report; the total is the server's. */
export type ReportedMetric = Exclude<MetricName, "totalTokens">;

/** What a report adds: whole numbers from 0 to 2^53 - 1. */
export type MetricsDelta = Readonly<Record<ReportedMetric, number>>;

/** @returns one value for each metric that workers report. */
export function forEachReportedMetric<Value>(valueOf: (name: ReportedMetric) => Value): Record<ReportedMetric, Value>;
export function forEachReportedMetric(valueOf: (name: ReportedMetric) => unknown): Record<string, unknown> {
  return Object.fromEntries(REPORTED_METRICS.map((name) => [name, valueOf(name)]));
}

const REPORTED_METRICS: readonly ReportedMetric[] = METRIC_NAMES.filter((name) => name !== "totalTokens");

/** A report that adds nothing. */
export const NO_METRICS: MetricsDelta = forEachReportedMetric(() => 0);

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
  const after = { ...ZERO_METRICS };
  for (const name of REPORTED_METRICS) after[name] = before[name] + BigInt(delta[name]);
  after.totalTokens = after.inputTokens + after.outputTokens;
  const overflowing = METRIC_NAMES.find((name) => after[name] > MAX_SAFE_METRIC);
  if (overflowing)
    return new InvalidInputError([...path, overflowing], `This would take ${overflowing} past 2^53 - 1.`);
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
export function countGuards(job: JobMetrics, guardsRun: number): { readonly validatorsRunCount: bigint } {
  const count = job.validatorsRunCount + BigInt(guardsRun);
  return { validatorsRunCount: count > MAX_SAFE_METRIC ? MAX_SAFE_METRIC : count };
}
