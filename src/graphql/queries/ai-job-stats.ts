import type { JobKind, JobState } from "../../db/generated/client/enums.ts";
import { forEachMetric, MAX_SAFE_METRIC, type JobMetrics as Metrics } from "../../db/metrics.ts";
import { within } from "../../db/scope.ts";
import { readStats } from "../../jobs/stats.ts";
import type { Totals } from "../../totals/read.ts";
import { builder } from "../builder.ts";
import { JobKindEnum, JobStateEnum } from "../enums.ts";
import { AiJobFilter } from "../types/ai-job-filter.ts";
import { JobMetrics } from "../types/job-metrics.ts";

const AiJobStateCount = builder
  .objectRef<{ readonly state: JobState; readonly count: bigint }>("AiJobStateCount")
  .implement({
    description: "The number of jobs in one state.",
    fields: (t) => ({
      state: t.expose("state", { type: JobStateEnum, description: "The state." }),
      count: t.expose("count", { type: "SafeInt", description: "The number of jobs in this state." }),
    }),
  });

const AiJobKindCount = builder
  .objectRef<{ readonly jobKind: JobKind; readonly count: bigint }>("AiJobKindCount")
  .implement({
    description: "The number of jobs of one kind.",
    fields: (t) => ({
      jobKind: t.expose("jobKind", { type: JobKindEnum, description: "The kind." }),
      count: t.expose("count", { type: "SafeInt", description: "The number of jobs of this kind." }),
    }),
  });

const AiJobStats = builder.objectRef<readonly Totals[]>("AiJobStats").implement({
  description: "Exact counts and sums over the workspace's jobs, all from the same moment.",
  fields: (t) => ({
    total: t.field({
      type: "SafeInt",
      description: "The number of jobs that match.",
      resolve: (rows) => rows.reduce((sum, { jobs }) => sum + jobs, 0n),
    }),
    byState: t.field({
      type: [AiJobStateCount],
      description: "The number of jobs in each state; states without jobs are left out.",
      resolve: (rows) => [...countBy(rows, ({ state }) => state)].map(([state, count]) => ({ state, count })),
    }),
    byKind: t.field({
      type: [AiJobKindCount],
      description: "The number of jobs of each kind; kinds without jobs are left out.",
      resolve: (rows) => [...countBy(rows, ({ jobKind }) => jobKind)].map(([jobKind, count]) => ({ jobKind, count })),
    }),
    metrics: t.field({
      type: JobMetrics,
      description: "The metrics of the matching jobs, added up. A sum above 2^53 - 1 is given as 2^53 - 1.",
      resolve: (rows) => sumOf(rows.map(({ metrics }) => metrics)),
    }),
  }),
});

builder.queryField("aiJobStats", (t) =>
  t.field({
    permission: "JOBS_READ",
    type: AiJobStats,
    description:
      "Exact counts and sums over the workspace's jobs, as of now. With no other condition than states and kinds, the time it " +
      "takes does not grow with the number of jobs; with others, it grows with the number that match (section 10).",
    args: { filter: t.arg({ type: AiJobFilter, description: "Which jobs to count; if left out, all." }) },
    resolve: (_root, { filter }, { engine, viewer: { workspaceId } }) =>
      within([workspaceId], () => readStats(engine.prisma, workspaceId, filter ?? {})),
  }),
);

function countBy<Key>(rows: readonly Totals[], keyOf: (row: Totals) => Key): ReadonlyMap<Key, bigint> {
  const counts = new Map<Key, bigint>();
  for (const row of rows) counts.set(keyOf(row), (counts.get(keyOf(row)) ?? 0n) + row.jobs);
  return counts;
}

function sumOf(all: readonly Metrics[]): Metrics {
  return forEachMetric((name) => capped(all.reduce((total, metrics) => total + metrics[name], 0n)));
}

function capped(sum: bigint): bigint {
  return sum > MAX_SAFE_METRIC ? MAX_SAFE_METRIC : sum;
}
