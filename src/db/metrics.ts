import { METRIC_NAMES, type MetricName } from "./job-columns.ts";

/** The metrics of a job, of an event, or of many jobs together: objects with one value for each of the nine. */

export type JobMetrics = Readonly<Record<MetricName, bigint>>;

/** What every client, JavaScript included, reads exactly: the most that a metric can be, or that GraphQL's SafeInt says. */
export const MAX_SAFE_METRIC = BigInt(Number.MAX_SAFE_INTEGER);

/** @returns one value for each metric. */
export function forEachMetric<Value>(valueOf: (name: MetricName) => Value): Record<MetricName, Value>;
export function forEachMetric(valueOf: (name: MetricName) => unknown): Record<string, unknown> {
  return Object.fromEntries(METRIC_NAMES.map((name) => [name, valueOf(name)]));
}

/** The metrics of a job that has just been submitted. */
export const ZERO_METRICS: JobMetrics = forEachMetric(() => 0n);

/** @returns the metrics out of a row that has them among other columns. */
export function metricsOf(row: JobMetrics): JobMetrics {
  return forEachMetric((name) => row[name]);
}

/** Adds the metrics of `from` to an object. @returns that object. */
export function withMetrics<Row extends object>(row: Row, from: JobMetrics): Row & JobMetrics;
export function withMetrics(row: Record<string, unknown>, from: JobMetrics): object {
  for (const name of METRIC_NAMES) row[name] = from[name];
  return row;
}
