import { setImmediate as yieldToOthers } from "node:timers/promises";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { METRIC_NAMES } from "../db/job-columns.ts";
import { type JobMetrics, MAX_SAFE_METRIC } from "../db/metrics.ts";
import { snakeCase, toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { LogPosition } from "../log/cursor.ts";

/**
 * Counts and sums over many jobs, exact at every moment, without a row that every change would have to wait for. The
 * event log is the list of what changed; a fold adds it up in the background, as far as `totals_position`, and a read
 * adds what comes after that place, both in one statement and so in one snapshot. The fold stays below the oldest open
 * transaction, as the feed does: nothing can ever appear in the log at or before a place that it has passed (section 4).
 */

/** Events that one transaction folds. It has an id, and the feed waits for it: it has to be a short one. */
const BATCH = 1_000;

/** Usage is kept by the minute, a little longer than the longest window of a quota. */
const OLDEST_USAGE = Prisma.sql`now() - interval '32 days'`;

/** For each of the nine metrics an expression, as a list. */
function metrics(expression: (column: string) => string): Prisma.Sql {
  return Prisma.raw(METRIC_NAMES.map((name) => expression(snakeCase(name))).join(", "));
}

const COLUMNS = metrics((name) => name);

/**
 * What each of these events changed: the job's metrics before it beside those after it. One row each by its primary
 * key: the planner, which cannot know how few events they are, would rather read all rows for a join.
 */
function changesIn(events: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT e.order_xid, e.job_id, e.version, e.workspace_id, e.type, e.state, e.previous_state, e.recorded_at,
      ${metrics((name) => `e.${name}`)}, j.job_kind, j.capability_profile_id,
      ${metrics((name) => `coalesce(b.${name}, 0) AS ${name}_before`)}
    FROM (${events}) AS e
    CROSS JOIN LATERAL (SELECT * FROM ai_jobs WHERE job_id = e.job_id LIMIT 1) AS j
    LEFT JOIN LATERAL (
      SELECT * FROM flight_recorder_events WHERE job_id = e.job_id AND version = e.version - 1 LIMIT 1
    ) AS b ON true`;
}

/** What the changes of a table `change` mean for the totals: with all that it has cost, a job leaves one state's and joins another's. */
const TOTALS_IN_CHANGE = Prisma.sql`
  SELECT workspace_id, job_kind, state, 1 AS jobs, ${COLUMNS} FROM change
  UNION ALL
  SELECT workspace_id, job_kind, previous_state, -1, ${metrics((name) => `-${name}_before`)} FROM change
  WHERE previous_state IS NOT NULL`;

/** What changes mean for the usage of a minute. */
function usageIn(changes: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`
    SELECT workspace_id, capability_profile_id, date_trunc('minute', recorded_at) AS minute,
      total_tokens - total_tokens_before AS tokens, (type = 'job_submitted')::int AS jobs
    FROM ${changes}
    WHERE type = 'job_submitted' OR total_tokens > total_tokens_before`;
}

/** What the fold has not come to, of these workspaces (an expression of type uuid[]). */
function changesNotFolded(workspaceIds: Prisma.Sql): Prisma.Sql {
  return changesIn(Prisma.sql`SELECT * FROM events_not_folded(${workspaceIds})`);
}

/** Usage that is not in usage_minutes yet, of these workspaces (an expression of type uuid[]), in its columns. */
export function usageNotFolded(workspaceIds: Prisma.Sql): Prisma.Sql {
  return usageIn(Prisma.sql`(${changesNotFolded(workspaceIds)}) AS change`);
}

export interface Totals {
  readonly jobKind: JobKind;
  readonly state: JobState;
  readonly jobs: bigint;
  /** Each sum at most 2^53 - 1. */
  readonly metrics: JobMetrics;
}

/** Which jobs count; all where a condition is left out. */
export interface TotalsFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly kinds?: readonly JobKind[] | null | undefined;
}

/** Exact counts and sums over a workspace's jobs, by kind and state; those that no job is of are left out. */
export async function readTotals(
  db: Transaction,
  workspaceId: string,
  { states, kinds }: TotalsFilter,
): Promise<readonly Totals[]> {
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(states ? [Prisma.sql`state = ANY(${states.map((name) => toDbEnum(name))}::text[]::"JobState"[])`] : []),
    ...(kinds ? [Prisma.sql`job_kind = ANY(${kinds.map((name) => toDbEnum(name))}::text[]::"JobKind"[])`] : []),
  ];
  const sums = METRIC_NAMES.map((name) => `least(sum(${snakeCase(name)}), ${MAX_SAFE_METRIC})::bigint AS "${name}"`);
  const rows = await db.$queryRaw<(Omit<Totals, "metrics"> & JobMetrics)[]>`
    WITH change AS MATERIALIZED (${changesNotFolded(Prisma.sql`ARRAY[${workspaceId}::uuid]`)})
    SELECT upper(job_kind::text) AS "jobKind", upper(state::text) AS state, sum(jobs)::bigint AS jobs,
      ${Prisma.raw(sums.join(", "))}
    FROM (
      SELECT workspace_id, job_kind, state, jobs, ${COLUMNS} FROM job_totals
      UNION ALL
      ${TOTALS_IN_CHANGE}
    ) AS total
    WHERE ${Prisma.join(conditions, " AND ")}
    GROUP BY total.job_kind, total.state HAVING sum(jobs) > 0 ORDER BY total.job_kind, total.state`;
  return rows.map(({ jobKind, state, jobs, ...sum }) => ({ jobKind, state, jobs, metrics: sum }));
}

/**
 * Adds up what the log holds after `totals_position`, batch by batch. Several servers may fold at once: one does, the
 * others find the position locked and leave.
 * @param signal ends it after the batch that is under way.
 * @returns how many events this call folded.
 */
export async function foldTotals(prisma: PrismaClient, batch = BATCH, signal?: AbortSignal): Promise<number> {
  let folded = 0;
  // Looked at without a lock first: while nothing happens, a fold writes nothing and takes no transaction id.
  while (!signal?.aborted && (await hasMore(prisma))) {
    const events = await prisma.$transaction((tx) => foldBatch(tx, batch));
    folded += events;
    if (events < batch) break;
    // The embedded database runs in this thread: requests get their turn between two batches.
    await yieldToOthers();
  }
  return folded;
}

const BELOW_OPEN_TRANSACTIONS = Prisma.sql`order_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`;
const IN_ORDER = Prisma.sql`ORDER BY order_xid, job_id, version`;

async function hasMore(prisma: PrismaClient): Promise<boolean> {
  const next = await prisma.$queryRaw<unknown[]>`
    SELECT version FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
      AND ${BELOW_OPEN_TRANSACTIONS}
    ${IN_ORDER} LIMIT 1`;
  return next.length > 0;
}

async function foldBatch(tx: Transaction, batch: number): Promise<number> {
  const [after] = await tx.$queryRaw<LogPosition[]>`
    SELECT order_xid AS "orderXid", job_id AS "jobId", version FROM totals_position FOR UPDATE SKIP LOCKED`;
  if (!after) return 0;
  const events = Prisma.sql`
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version})
      AND ${BELOW_OPEN_TRANSACTIONS}
    ${IN_ORDER} LIMIT ${batch}`;
  // Read under the lock, a total is what it was when the last fold committed: what is written is the new one, and
  // a total that would fall below zero is refused by the table.
  const [folded] = await tx.$queryRaw<{ events: number }[]>`
    WITH change AS MATERIALIZED (${changesIn(events)}),
    total AS (
      SELECT workspace_id, job_kind, state, sum(jobs) AS jobs, ${metrics((name) => `sum(${name}) AS ${name}`)}
      FROM (${TOTALS_IN_CHANGE}) AS side GROUP BY workspace_id, job_kind, state
    ), counted AS (
      INSERT INTO job_totals (workspace_id, job_kind, state, jobs, ${COLUMNS})
      SELECT workspace_id, job_kind, state, coalesce(old.jobs, 0) + total.jobs,
        ${metrics((name) => `coalesce(old.${name}, 0) + total.${name}`)}
      FROM total LEFT JOIN job_totals old USING (workspace_id, job_kind, state)
      ON CONFLICT (workspace_id, job_kind, state)
      DO UPDATE SET jobs = excluded.jobs, ${metrics((name) => `${name} = excluded.${name}`)}
    ), used AS (
      INSERT INTO usage_minutes AS old (workspace_id, capability_profile_id, minute, tokens, jobs)
      SELECT workspace_id, capability_profile_id, minute, sum(tokens), sum(jobs)
      FROM (${usageIn(Prisma.sql`change`)}) AS usage WHERE minute > ${OLDEST_USAGE}
      GROUP BY workspace_id, capability_profile_id, minute
      ON CONFLICT (workspace_id, minute, capability_profile_id)
      DO UPDATE SET tokens = old.tokens + excluded.tokens, jobs = old.jobs + excluded.jobs
    ), forgotten AS (
      DELETE FROM usage_minutes WHERE minute <= ${OLDEST_USAGE}
    ), moved AS (
      UPDATE totals_position SET order_xid = last.order_xid, job_id = last.job_id, version = last.version
      FROM (SELECT * FROM change ORDER BY order_xid DESC, job_id DESC, version DESC LIMIT 1) AS last
    )
    SELECT count(*)::int AS events FROM change`;
  return folded?.events ?? 0;
}
