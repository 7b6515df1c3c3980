import { Prisma } from "../db/generated/client/client.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { snakeCase } from "../db/rows.ts";

/**
 * Totals are counts and sums over many jobs, exact at every moment, without a row that every change of a job would have to
 * wait for (section 9). The event log says what changed; a fold (fold.ts) adds it up in the background, as far as
 * `totals_position`, and a read (read.ts) adds what comes after that place, both in one statement and so in one snapshot.
 * Here is what both make of events.
 */

/** A list of one expression for each of the nine metrics. */
export function eachMetric(expression: (column: string) => string): Prisma.Sql {
  return Prisma.raw(METRIC_NAMES.map((name) => expression(snakeCase(name))).join(", "));
}

export const METRIC_COLUMNS = eachMetric((column) => column);

/**
 * What each of these events changed: the job's metrics before it beside those after it.
 *
 * Job and previous event are found row by row, by their primary keys (LATERAL ... LIMIT 1): the planner, which cannot know
 * how few the events are, would rather read all rows for a join.
 */
export function changesIn(events: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT e.order_xid, e.job_id, e.version, e.workspace_id, e.type, e.state, e.previous_state, e.recorded_at,
      ${eachMetric((column) => `e.${column}`)}, j.job_kind, j.capability_profile_id,
      ${eachMetric((column) => `coalesce(b.${column}, 0) AS ${column}_before`)}
    FROM (${events}) AS e
    CROSS JOIN LATERAL (SELECT * FROM ai_jobs WHERE job_id = e.job_id LIMIT 1) AS j
    LEFT JOIN LATERAL (
      SELECT * FROM flight_recorder_events WHERE job_id = e.job_id AND version = e.version - 1 LIMIT 1
    ) AS b ON true`;
}

/** What the changes of a table `change` add to the totals: a job leaves one state's total, with all that it has cost, and joins another's. */
export const TOTALS_IN_CHANGE = Prisma.sql`
  SELECT workspace_id, job_kind, state, 1 AS jobs, ${METRIC_COLUMNS} FROM change
  UNION ALL
  SELECT workspace_id, job_kind, previous_state, -1, ${eachMetric((column) => `-${column}_before`)} FROM change
  WHERE previous_state IS NOT NULL`;

/** What changes add to the usage of a minute: tokens reported, and jobs submitted. */
export function usageIn(changes: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT workspace_id, capability_profile_id, date_trunc('minute', recorded_at) AS minute,
      total_tokens - total_tokens_before AS tokens, (type = 'job_submitted')::int AS jobs
    FROM ${changes}
    WHERE type = 'job_submitted' OR total_tokens > total_tokens_before`;
}

/** What the fold has not added up yet, of these workspaces (an expression of type uuid[]). */
export function changesNotFolded(workspaceIds: Prisma.Sql): Prisma.Sql {
  return changesIn(Prisma.sql`SELECT * FROM events_not_folded(${workspaceIds})`);
}

/** Usage that is not in usage_minutes yet, of these workspaces (an expression of type uuid[]), in its columns. */
export function usageNotFolded(workspaceIds: Prisma.Sql): Prisma.Sql {
  return usageIn(Prisma.sql`(${changesNotFolded(workspaceIds)}) AS change`);
}
