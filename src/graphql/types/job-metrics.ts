import type { MetricName } from "../../db/job-columns.ts";
import { forEachMetric, type JobMetrics as Metrics } from "../../db/metrics.ts";
import { forEachReportedMetric } from "../../jobs/metrics.ts";
import { builder } from "../builder.ts";

const MEANINGS = {
  durationMs: "Milliseconds of work, as its workers measured them.",
  totalTokens: "inputTokens + outputTokens, computed by the server.",
  inputTokens: "Tokens that went into models.",
  outputTokens: "Tokens that came out of models.",
  tokensPlanner: "Of the total, the tokens spent on planning.",
  tokensExecutor: "Of the total, the tokens spent on execution.",
  entitiesRead: "Entities read.",
  entitiesWritten: "Entities written.",
  validatorsRunCount: "Validators run, the server's own guards included.",
} as const satisfies Record<MetricName, string>;

/** Whatever has the nine columns is the object: a job, an event, a sum. */
export const JobMetrics = builder.objectRef<Metrics>("JobMetrics").implement({
  description: "What a job has cost. The nine never shrink and are never null [HSK-JOB-101].",
  fields: (t) =>
    forEachMetric((name) =>
      t.field({ type: "SafeInt", description: MEANINGS[name], resolve: (metrics) => metrics[name] }),
    ),
});

/** What a worker adds. Every counter is there, and 0 where the worker says nothing. */
export const MetricsDelta = builder.inputType("MetricsDelta", {
  description: "What a worker adds to a job's metrics. The total is the server's.",
  fields: (t) =>
    forEachReportedMetric((name) =>
      t.field({ type: "SafeInt", required: true, defaultValue: 0, description: MEANINGS[name] }),
    ),
});
