import { Prisma } from "../db/generated/client/client.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { snakeCase } from "../db/rows.ts";
import { VERSION_BEFORE } from "../log/read.ts";

/**
 * Totals are counts and sums over many jobs, exact whenever they are read (section 10). No command updates them, because
 * all changes of jobs would wait for the lock of a counter row. Instead, the aggregation (aggregate.ts) adds up the events
 * of the log in the background, up to `totals_position`, and a read (read.ts) adds the events after that position, in the
 * same statement and so in the same snapshot. This file has the SQL that turns events into deltas, for both.
 */

/**
 * @returns the expressions for the nine metrics, separated by commas.
 * @param expression makes one from a column name.
 */
export function eachMetric(expression: (column: string) => string): Prisma.Sql {
  return Prisma.raw(METRIC_NAMES.map((name) => expression(snakeCase(name))).join(", "));
}

/** The columns of the nine metrics, separated by commas. */
export const METRIC_COLUMNS = eachMetric((column) => column);

/**
 * A query with one row, a change, for each of these events: the job's state and metrics after the event, and those before
 * it (`previous_state`, `..._before`).
 *
 * The job and the previous event are looked up by primary key for each row (LATERAL ... LIMIT 1). With a plain join,
 * the planner, which cannot know that there are few events, would read both tables completely.
 * @param events a query for rows of flight_recorder_events.
 */
export function changesOfEvents(events: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT e.order_xid, e.job_id, e.version, e.workspace_id, e.type, e.state, e.previous_state, e.recorded_at,
      ${eachMetric((column) => `e.${column}`)}, j.job_kind, j.capability_profile_id, j.protocol_id, j.label_count,
      ${eachMetric((column) => `coalesce(b.${column}, 0) AS ${column}_before`)}
    FROM (${events}) AS e
    ${VERSION_BEFORE}
    CROSS JOIN LATERAL (SELECT * FROM ai_jobs WHERE job_id = e.job_id LIMIT 1) AS j
    LEFT JOIN LATERAL (
      SELECT * FROM flight_recorder_events WHERE job_id = e.job_id AND version = before.version LIMIT 1
    ) AS b ON true`;
}

/**
 * A query for the deltas that changes add to the totals; the statement must have the changes in a CTE named `change`. Each
 * change adds its job, with the metrics after the event, to the total of the new state, and subtracts the job, with the
 * metrics before the event, from the total of the previous state.
 */
export const TOTALS_DELTAS = Prisma.sql`
  SELECT workspace_id, job_kind, state, 1 AS jobs, ${METRIC_COLUMNS} FROM change
  UNION ALL
  SELECT workspace_id, job_kind, previous_state, -1, ${eachMetric((column) => `-${column}_before`)} FROM change
  WHERE previous_state IS NOT NULL`;

/**
 * A query for the deltas that changes add to the usage by the minute: tokens reported and jobs submitted (docs/quotas.md).
 * @param changes a table of changes, for a FROM clause.
 */
export function usageDeltas(changes: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT workspace_id, capability_profile_id, date_trunc('minute', recorded_at) AS minute,
      total_tokens - total_tokens_before AS tokens, 0 AS cost_micros, (type = 'job_submitted')::int AS jobs
    FROM ${changes}
    WHERE type = 'job_submitted' OR total_tokens > total_tokens_before`;
}

/**
 * A query for what entries of the ledger add to the usage by the minute: their cost, which no column of an event has; and the tokens of
 * those that no event has, because their job was poisoned before (section 14). All other tokens are those of events.
 * @param entries a table of entries, for a FROM clause.
 */
export function usageOfEntries(entries: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT workspace_id, capability_profile_id, date_trunc('minute', recorded_at) AS minute,
      CASE WHEN version IS NULL THEN input_tokens + cached_input_tokens + output_tokens + reasoning_tokens ELSE 0 END AS tokens,
      cost_micros, 0 AS jobs
    FROM ${entries} WHERE version IS NULL OR cost_micros > 0`;
}

/**
 * A query for the changes whose events come after `totals_position`.
 * @param workspaceIds an SQL expression of type uuid[]: only changes of jobs in these workspaces.
 */
export function changesNotAggregated(workspaceIds: Prisma.Sql): Prisma.Sql {
  return changesOfEvents(Prisma.sql`SELECT * FROM events_not_aggregated(${workspaceIds})`);
}

/**
 * A query for the usage that is not in usage_minutes yet, with the columns of that table.
 * @param workspaceIds an SQL expression of type uuid[]: only the usage of these workspaces.
 */
export function usageNotAggregated(workspaceIds: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`${usageDeltas(Prisma.sql`(${changesNotAggregated(workspaceIds)}) AS change`)}
    UNION ALL ${usageOfEntries(Prisma.sql`usage_not_aggregated(${workspaceIds})`)}`;
}
