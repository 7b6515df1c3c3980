import { METRIC_NAMES, type MetricName } from "../db/job-columns.ts";
import { type JobMetrics, type JobSpending, MAX_SAFE_METRIC, ZERO_METRICS } from "../db/metrics.ts";
import { InvalidInputError } from "../errors.ts";
import { costOf, type ModelCall, tokensOf } from "./usage/model-usage.ts";

/** A metric that workers report. The server computes `totalTokens` itself. */
export type ReportedMetric = Exclude<MetricName, "totalTokens">;

/** What a report adds to each metric: integers from 0 to 2^53 - 1. */
export interface MetricsDelta extends Readonly<Record<ReportedMetric, number>> {
  /**
   * The calls of models that its tokens are those of (section 14). Left out where there are none, so that the hashes of such reports
   * are what they were before there was usage.
   */
  readonly usage?: readonly ModelCall[];
}

/** @returns an object with the value that `valueOf` gives for each metric that workers report. */
export function forEachReportedMetric<Value>(valueOf: (name: ReportedMetric) => Value): Record<ReportedMetric, Value>;
export function forEachReportedMetric(valueOf: (name: ReportedMetric) => unknown): Record<string, unknown> {
  return Object.fromEntries(REPORTED_METRICS.map((name) => [name, valueOf(name)]));
}

const REPORTED_METRICS: readonly ReportedMetric[] = METRIC_NAMES.filter((name) => name !== "totalTokens");

/** A report that adds nothing. */
export const NO_METRICS: MetricsDelta = forEachReportedMetric(() => 0);

/** @returns a delta of nothing but calls of models, at least one. */
export function deltaOfCalls(usage: readonly ModelCall[]): MetricsDelta {
  return { ...NO_METRICS, ...tokensOf(usage), usage };
}

/** The budgets that a job was submitted with; null for no limit. */
export interface Budgets {
  readonly tokenBudget: bigint | null;
  readonly costBudgetMicros: bigint | null;
}

/** A budget that is passed: what was used of it, and what it is. */
export interface PassedBudget {
  readonly of: "tokens" | "cost";
  readonly used: bigint;
  readonly budget: bigint;
}

/**
 * @returns the budget that a job has passed, that of tokens before that of cost; null where it has passed none. The report that passed
 *   it is kept, and the job fails (section 6).
 */
export function passedBudget(
  { tokenBudget, costBudgetMicros }: Budgets,
  { totalTokens, costMicros }: JobSpending,
): PassedBudget | null {
  if (tokenBudget !== null && totalTokens > tokenBudget)
    return { of: "tokens", used: totalTokens, budget: tokenBudget };
  if (costBudgetMicros !== null && costMicros > costBudgetMicros)
    return { of: "cost", used: costMicros, budget: costBudgetMicros };
  return null;
}

/**
 * Whether a delta changes nothing. A heartbeat with such a delta makes no new version of its job (section 4). A call counts, whatever
 * it used.
 */
export function isZero(delta: MetricsDelta): boolean {
  return !delta.usage?.length && REPORTED_METRICS.every((name) => delta[name] === 0);
}

/**
 * Adds a report's metrics, and the cost of its calls, to a job's.
 * @param path the path of the delta in the caller's input, for the error.
 * @returns what the job has used then; or the reason why the whole delta is refused: a metric or the cost beyond 2^53 - 1, more tokens
 *   of planner and executor than in total (section 3), or other tokens than the calls have (section 14).
 */
export function addMetrics(
  before: JobSpending,
  delta: MetricsDelta,
  path: readonly string[],
): JobSpending | InvalidInputError {
  const other = otherTokensThanCalls(delta, path);
  if (other) return other;
  const after = { ...ZERO_METRICS, costMicros: before.costMicros + costOf(delta.usage ?? []) };
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
  if (after.costMicros > MAX_SAFE_METRIC)
    return new InvalidInputError([...path, "usage"], "This would raise the job's cost above 2^53 - 1.");
  return after;
}

function otherTokensThanCalls(delta: MetricsDelta, path: readonly string[]): InvalidInputError | null {
  if (!delta.usage?.length) return null;
  const tokens = tokensOf(delta.usage);
  const sums = { inputTokens: "inputTokens and cachedInputTokens", outputTokens: "outputTokens and reasoningTokens" };
  for (const name of ["inputTokens", "outputTokens"] as const) {
    if (delta[name] === tokens[name]) continue;
    const message = `The ${sums[name]} of usage are ${tokens[name]} together: give the same, or leave ${name} out.`;
    return new InvalidInputError([...path, name], message);
  }
  return null;
}

/**
 * Adds the guards that the server ran to a job's count of validators. The count stops at 2^53 - 1 instead of failing:
 * otherwise a worker could report a huge count and so prevent its job from being poisoned.
 */
export function countGuards(job: JobMetrics, guardsRun: number): { readonly validatorsRunCount: bigint } {
  const count = job.validatorsRunCount + BigInt(guardsRun);
  return { validatorsRunCount: count > MAX_SAFE_METRIC ? MAX_SAFE_METRIC : count };
}
