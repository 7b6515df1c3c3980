import { setImmediate as yieldToOthers } from "node:timers/promises";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { Transaction } from "../db/transaction.ts";
import type { LogPosition } from "../log/cursor.ts";
import { changesIn, eachMetric, METRIC_COLUMNS, TOTALS_IN_CHANGE, usageIn } from "./changes.ts";

/** Events that one transaction folds. It has an id, and the feed waits for it: it has to be a short one. */
const MAX_BATCH_EVENTS = 1_000;

/** Usage is kept by the minute, for a little longer than the longest window of a quota. */
const OLDEST_USAGE = Prisma.sql`now() - interval '32 days'`;

/**
 * Adds up what the log holds after `totals_position`, batch by batch. Several servers may fold at once: one does, the others
 * find the position locked and leave it to that one.
 *
 * It stays below the oldest open transaction, as the feed does: no event can ever appear in the log at or before a place
 * that the fold has passed (section 4).
 * @param signal ends it after the batch that is under way.
 * @returns how many events this call folded.
 */
export async function foldTotals(
  prisma: PrismaClient,
  maxBatchEvents = MAX_BATCH_EVENTS,
  signal?: AbortSignal,
): Promise<number> {
  let folded = 0;
  // Looked at without a lock first: while nothing happens, a fold writes nothing and takes no transaction id.
  while (!signal?.aborted && (await hasNewEvents(prisma))) {
    const events = await prisma.$transaction((tx) => foldBatch(tx, maxBatchEvents));
    folded += events;
    if (events < maxBatchEvents) break;
    // The embedded database runs in this thread: requests get their turn between two batches.
    await yieldToOthers();
  }
  return folded;
}

const BELOW_OPEN_TRANSACTIONS = Prisma.sql`order_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`;
const IN_ORDER = Prisma.sql`ORDER BY order_xid, job_id, version`;

async function hasNewEvents(prisma: PrismaClient): Promise<boolean> {
  const next = await prisma.$queryRaw<unknown[]>`
    SELECT version FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
      AND ${BELOW_OPEN_TRANSACTIONS}
    ${IN_ORDER} LIMIT 1`;
  return next.length > 0;
}

async function foldBatch(tx: Transaction, maxEvents: number): Promise<number> {
  const [after] = await tx.$queryRaw<LogPosition[]>`
    SELECT order_xid AS "orderXid", job_id AS "jobId", version FROM totals_position FOR UPDATE SKIP LOCKED`;
  if (!after) return 0;
  const events = Prisma.sql`
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version})
      AND ${BELOW_OPEN_TRANSACTIONS}
    ${IN_ORDER} LIMIT ${maxEvents}`;
  // Read under the lock, a total is what it was when the last fold committed: what is written is the new one, and
  // a total that would fall below zero is refused by the table.
  const [folded] = await tx.$queryRaw<{ events: number }[]>`
    WITH change AS MATERIALIZED (${changesIn(events)}),
    total AS (
      SELECT workspace_id, job_kind, state, sum(jobs) AS jobs, ${eachMetric((column) => `sum(${column}) AS ${column}`)}
      FROM (${TOTALS_IN_CHANGE}) AS side GROUP BY workspace_id, job_kind, state
    ), counted AS (
      INSERT INTO job_totals (workspace_id, job_kind, state, jobs, ${METRIC_COLUMNS})
      SELECT workspace_id, job_kind, state, coalesce(old.jobs, 0) + total.jobs,
        ${eachMetric((column) => `coalesce(old.${column}, 0) + total.${column}`)}
      FROM total LEFT JOIN job_totals old USING (workspace_id, job_kind, state)
      ON CONFLICT (workspace_id, job_kind, state)
      DO UPDATE SET jobs = excluded.jobs, ${eachMetric((column) => `${column} = excluded.${column}`)}
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
