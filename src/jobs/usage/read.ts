import { type ScopedId, scopedIdTable } from "../../db/batched-read.ts";
import { Prisma, type PrismaClient } from "../../db/generated/client/client.ts";
import { METRIC_NAMES } from "../../db/job-columns.ts";
import { type JobMetrics, MAX_SAFE_METRIC } from "../../db/metrics.ts";
import { snakeCase } from "../../db/rows.ts";
import { eachMetric } from "../../totals/changes.ts";
import { type ModelUsage, USAGE_NUMBERS } from "./model-usage.ts";

/** What jobs, runs and steps have used: read for many of them in one statement, for the batched GraphQL loaders. */

/** What something with an id has used. */
type Of<Used> = Used & { readonly workspaceId: string; readonly id: string };

/** The most models that are listed of a job or a run. A step has two reports, and so few models. */
export const MAX_MODELS = 1000;

/** What an entry of the ledger belongs to, and the column that says so. */
const OWNER_COLUMNS = { job: Prisma.sql`job_id`, run: Prisma.sql`workflow_run_id` } as const;

const SUMS = Prisma.raw(
  [...USAGE_NUMBERS, "calls"]
    .map((name) => `least(sum(${snakeCase(name)}), ${MAX_SAFE_METRIC})::bigint AS "${name}"`)
    .join(", "),
);

/** What the calls of one model have used, for a job, a run or a step. */
export type UsageOfModel = Of<Omit<ModelUsage, "calls"> & { readonly calls: bigint }>;

/** @returns the usage of each of several jobs, or runs, by model, ordered by name; where there are more models, those with most tokens. */
export function listModelUsage(
  prisma: PrismaClient,
  of: "job" | "run",
  ids: readonly ScopedId[],
): Promise<UsageOfModel[]> {
  return prisma.$queryRaw<UsageOfModel[]>`
    SELECT requested_workspace_id AS "workspaceId", requested_id AS id, used.*
    FROM ${scopedIdTable(ids)}, LATERAL (
      SELECT provider, model, ${SUMS} FROM usage_entries
      WHERE ${OWNER_COLUMNS[of]} = requested_id AND workspace_id = requested_workspace_id
      ${BY_MODEL}) AS used
    ORDER BY requested_id, provider, model`;
}

/** @returns the usage of each of several steps by model, ordered by name. The entries of a step are found among those of its run. */
export function listModelUsageOfSteps(prisma: PrismaClient, steps: readonly ScopedId[]): Promise<UsageOfModel[]> {
  return prisma.$queryRaw<UsageOfModel[]>`
    WITH step AS MATERIALIZED (${stepsOf(steps)}),
    entry AS MATERIALIZED (
      SELECT u.* FROM (SELECT DISTINCT run_id, workspace_id FROM step) AS run
      JOIN usage_entries u ON u.workflow_run_id = run.run_id AND u.workspace_id = run.workspace_id
      WHERE u.node_execution_id IN (SELECT id FROM step)
    )
    SELECT workspace_id AS "workspaceId", node_execution_id AS id, provider, model, ${SUMS}
    FROM entry GROUP BY workspace_id, node_execution_id, provider, model
    ORDER BY node_execution_id, provider, model`;
}

const BY_MODEL = Prisma.sql`GROUP BY provider, model ORDER BY sum(input_tokens + cached_input_tokens + output_tokens + reasoning_tokens) DESC,
  provider, model LIMIT ${MAX_MODELS}`;

/** The requested steps, with their runs. */
function stepsOf(steps: readonly ScopedId[]): Prisma.Sql {
  return Prisma.sql`
    SELECT n.id, n.workspace_id, n.workflow_run_id AS run_id, n.sequence FROM ${scopedIdTable(steps)}
    JOIN node_executions n ON n.id = requested_id AND n.workspace_id = requested_workspace_id`;
}

/** The metrics of a run, or of a step. */
export type MetricsOf = Of<JobMetrics>;

/**
 * What each event has added to the metrics of its job, for all events of the jobs of the CTE `run`. No row keeps the metrics of runs
 * and steps: a report would have one more row to write, and a run that has ended cannot change when its usage is reported late.
 */
const ADDED = Prisma.sql`
  SELECT e.workflow_run_id AS run_id, e.payload,
    ${eachMetric((column) => `e.${column} - lag(e.${column}, 1, 0::bigint) OVER (PARTITION BY e.job_id ORDER BY e.version) AS ${column}`)}
  FROM (SELECT DISTINCT job_id, workspace_id FROM run) AS job
  JOIN flight_recorder_events e ON e.job_id = job.job_id AND e.workspace_id = job.workspace_id`;

const SUMS_OF_METRICS = Prisma.raw(
  METRIC_NAMES.map(
    (name) => `least(coalesce(sum(${snakeCase(name)}), 0), ${MAX_SAFE_METRIC})::bigint AS "${name}"`,
  ).join(", "),
);

/** @returns the metrics of several runs: what their reports, and the guards that ran over these, added to the metrics of their jobs. */
export function readMetricsOfRuns(prisma: PrismaClient, runs: readonly ScopedId[]): Promise<MetricsOf[]> {
  return prisma.$queryRaw<MetricsOf[]>`
    WITH run AS MATERIALIZED (
      SELECT r.id AS run_id, r.job_id, r.workspace_id FROM ${scopedIdTable(runs)}
      JOIN workflow_runs r ON r.id = requested_id AND r.workspace_id = requested_workspace_id
    ), added AS (${ADDED}), used AS (
      SELECT run_id, ${eachMetric((column) => column)} FROM added
      UNION ALL
      SELECT run_id, ${eachMetric((column) => OF_ENTRIES_BESIDE[column] ?? "0")}
      FROM run JOIN usage_entries u ON u.workflow_run_id = run_id AND u.workspace_id = run.workspace_id AND u.version IS NULL
    )
    SELECT run.workspace_id AS "workspaceId", run.run_id AS id, ${SUMS_OF_METRICS}
    FROM run LEFT JOIN used USING (run_id) GROUP BY run.workspace_id, run.run_id`;
}

/** What an entry of a poisoned job, which no event has, adds to its run's metrics. */
const OF_ENTRIES_BESIDE: Readonly<Record<string, string>> = {
  total_tokens: "input_tokens + cached_input_tokens + output_tokens + reasoning_tokens",
  input_tokens: "input_tokens + cached_input_tokens",
  output_tokens: "output_tokens + reasoning_tokens",
};

/**
 * @returns the metrics of several steps: what the reports of each of these steps alone added. Of a report of several steps nobody knows
 * which of them used what. An event names its steps by their numbers.
 */
export function readMetricsOfSteps(prisma: PrismaClient, steps: readonly ScopedId[]): Promise<MetricsOf[]> {
  return prisma.$queryRaw<MetricsOf[]>`
    WITH step AS MATERIALIZED (${stepsOf(steps)}), run AS MATERIALIZED (
      SELECT r.id AS run_id, r.job_id, r.workspace_id FROM (SELECT DISTINCT run_id FROM step) AS of_steps
      JOIN workflow_runs r ON r.id = of_steps.run_id
    ), used AS (
      SELECT added.run_id, (payload -> 'steps' -> 0 ->> 'sequence')::int AS sequence, ${eachMetric((column) => column)}
      FROM (${ADDED}) AS added WHERE jsonb_array_length(payload -> 'steps') = 1
    )
    SELECT step.workspace_id AS "workspaceId", step.id, ${SUMS_OF_METRICS}
    FROM step LEFT JOIN used USING (run_id, sequence) GROUP BY step.workspace_id, step.id`;
}
