import { METRIC_NAMES, type MetricName } from "./job-columns.ts";

/** Objects with one value for each of the nine metrics (section 3): of a job, of an event, or the sums over many jobs. */

/** The nine metrics, as integers without rounding. */
export type JobMetrics = Readonly<Record<MetricName, bigint>>;

/** What a job has used: its metrics, and its cost in millionths of COST_CURRENCY, which no event's hash covers as a metric. */
export type JobSpending = JobMetrics & { readonly costMicros: bigint };

/** 2^53 - 1, the largest value of a metric and of GraphQL's SafeInt: larger integers are rounded by JavaScript clients. */
export const MAX_SAFE_METRIC = BigInt(Number.MAX_SAFE_INTEGER);

/** @returns an object with the value that `valueOf` gives for each metric. */
export function forEachMetric<Value>(valueOf: (name: MetricName) => Value): Record<MetricName, Value>;
export function forEachMetric(valueOf: (name: MetricName) => unknown): Record<string, unknown> {
  return Object.fromEntries(METRIC_NAMES.map((name) => [name, valueOf(name)]));
}

/** The metrics of a new job. */
export const ZERO_METRICS: JobMetrics = forEachMetric(() => 0n);

/** @returns only the metrics of a row that has other columns, too. */
export function metricsOf(row: JobMetrics): JobMetrics {
  return forEachMetric((name) => row[name]);
}

/** Copies the metrics of `from` into an object. @returns that object. */
export function withMetrics<Row extends object>(row: Row, from: JobMetrics): Row & JobMetrics;
export function withMetrics(row: Record<string, unknown>, from: JobMetrics): object {
  for (const name of METRIC_NAMES) row[name] = from[name];
  return row;
}
