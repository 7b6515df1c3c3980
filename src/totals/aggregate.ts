import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import type { Transaction } from "../db/transaction.ts";
import type { LogPosition } from "../log/cursor.ts";
import { IS_BELOW_WATERMARK } from "../log/read.ts";
import { NIL_UUID } from "../uuid.ts";
import { changesOfEvents, eachMetric, METRIC_COLUMNS, TOTALS_DELTAS, usageDeltas, usageOfEntries } from "./changes.ts";
import { ADD_INTERVALS, intervalDeltas } from "./intervals.ts";

/**
 * The most events that one transaction aggregates. The feed cannot read past an open write transaction, so each of these
 * transactions must be short: these take some tens of milliseconds.
 */
const MAX_BATCH_EVENTS = 300;
/** Totals are of all workspaces, as the log is. */
const TOTALS = allWorkspaces("totals");

/** Usage by the minute is deleted after this age, which is a little longer than the longest window of a quota. */
const OLDEST_USAGE = Prisma.sql`now() - interval '32 days'`;

/**
 * Adds the events after `totals_position`, and the entries of the ledger that no event has, to the totals and to the usage by
 * the minute, the hour and the day, batch by batch (section 10).
 * Several servers may call this at once: one of them aggregates, the others find the position locked and return.
 *
 * Only what is below the watermark is aggregated (section 4). Otherwise a transaction that commits late could add an event
 * at or before a position that the aggregation has passed, and the totals would never include it.
 * @param maxBatchEvents the most events, and the most entries, that one transaction aggregates.
 * @param signal stops the aggregation after the current batch.
 * @returns the number of events that this call aggregated.
 */
export async function aggregateTotals(
  prisma: PrismaClient,
  maxBatchEvents = MAX_BATCH_EVENTS,
  signal?: AbortSignal,
): Promise<number> {
  let count = 0;
  // Checked first without a lock: a lock takes a transaction id, so an idle server would write to disk every second.
  while (!signal?.aborted && (await within(TOTALS, () => isBehind(prisma)))) {
    const batch = await within(TOTALS, () => prisma.$transaction((tx) => aggregateBatch(tx, maxBatchEvents)));
    count += batch.events;
    if (!isFull(batch, maxBatchEvents)) break;
    // The embedded database runs in this thread: requests must be served between two batches.
    await yieldToEventLoop();
  }
  return count;
}

/** The most events of one statement of a recount, which is one transaction anyway. */
const RECOUNT_BATCH_EVENTS = 10_000;

/**
 * Counts totals and usage anew, from the start of the log, in the caller's transaction. Nobody else aggregates meanwhile: the
 * caller has locked `totals_position`.
 */
export async function recountTotals(tx: Transaction): Promise<void> {
  await tx.$executeRaw`DELETE FROM job_totals`;
  await tx.$executeRaw`DELETE FROM usage_minutes`;
  await tx.$executeRaw`DELETE FROM usage_intervals`;
  await tx.$executeRaw`
    UPDATE totals_position SET order_xid = 0, job_id = ${NIL_UUID}::uuid, version = 0,
      entry_order_xid = 0, entry_id = ${NIL_UUID}::uuid`;
  while (isFull(await aggregateBatch(tx, RECOUNT_BATCH_EVENTS), RECOUNT_BATCH_EVENTS));
}

/** How much one transaction has aggregated. */
interface Batch {
  readonly events: number;
  readonly entries: number;
}

/** Whether a batch has as much as it may have, so that there may be more. */
function isFull({ events, entries }: Batch, max: number): boolean {
  return events === max || entries === max;
}

const IN_ORDER = Prisma.sql`ORDER BY order_xid, job_id, version`;
const ENTRIES_IN_ORDER = Prisma.sql`ORDER BY order_xid, id`;

async function isBehind(prisma: PrismaClient): Promise<boolean> {
  const next = await prisma.$queryRaw<unknown[]>`
    (SELECT version FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
      AND ${IS_BELOW_WATERMARK}
    ${IN_ORDER} LIMIT 1)
    UNION ALL
    (SELECT calls FROM usage_entries
    WHERE (order_xid, id) > (SELECT entry_order_xid, entry_id FROM totals_position WHERE singleton)
      AND ${IS_BELOW_WATERMARK}
    ${ENTRIES_IN_ORDER} LIMIT 1)
    LIMIT 1`;
  return next.length > 0;
}

/** Where the aggregation stands, in the log and in the ledger. */
type Position = Omit<LogPosition, "hash"> & { readonly entryOrderXid: bigint; readonly entryId: string };

async function aggregateBatch(tx: Transaction, maxEvents: number): Promise<Batch> {
  // SKIP LOCKED returns no row if another server is aggregating: this server then leaves the work to the other one.
  const [after] = await tx.$queryRaw<Position[]>`
    SELECT order_xid AS "orderXid", job_id AS "jobId", version, entry_order_xid AS "entryOrderXid", entry_id AS "entryId"
    FROM totals_position FOR UPDATE SKIP LOCKED`;
  if (!after) return { events: 0, entries: 0 };
  const events = Prisma.sql`
    SELECT * FROM flight_recorder_events
    WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version})
      AND ${IS_BELOW_WATERMARK}
    ${IN_ORDER} LIMIT ${maxEvents}`;
  // Nobody else writes totals while the position is locked, so the statement reads them, adds, and inserts the sums. An
  // upsert of the deltas alone would fail: the table's CHECK refuses negative values before the conflict is found.
  const entries = Prisma.sql`
    SELECT * FROM usage_entries WHERE (order_xid, id) > (${after.entryOrderXid}, ${after.entryId}::uuid)
      AND ${IS_BELOW_WATERMARK}
    ${ENTRIES_IN_ORDER} LIMIT ${maxEvents}`;
  const [batch] = await tx.$queryRaw<Batch[]>`
    WITH change AS MATERIALIZED (${changesOfEvents(events)}), entry AS MATERIALIZED (${entries}),
    total AS (
      SELECT workspace_id, job_kind, state, sum(jobs) AS jobs, ${eachMetric((column) => `sum(${column}) AS ${column}`)}
      FROM (${TOTALS_DELTAS}) AS delta GROUP BY workspace_id, job_kind, state
    ), upserted_totals AS (
      INSERT INTO job_totals (workspace_id, job_kind, state, jobs, ${METRIC_COLUMNS})
      SELECT workspace_id, job_kind, state, coalesce(old.jobs, 0) + total.jobs,
        ${eachMetric((column) => `coalesce(old.${column}, 0) + total.${column}`)}
      FROM total LEFT JOIN job_totals old USING (workspace_id, job_kind, state)
      ON CONFLICT (workspace_id, job_kind, state)
      DO UPDATE SET jobs = excluded.jobs, ${eachMetric((column) => `${column} = excluded.${column}`)}
    ), upserted_usage AS (
      INSERT INTO usage_minutes AS old (workspace_id, capability_profile_id, minute, tokens, cost_micros, jobs)
      SELECT workspace_id, capability_profile_id, minute, sum(tokens), sum(cost_micros), sum(jobs)
      FROM (${usageDeltas(Prisma.sql`change`)} UNION ALL ${usageOfEntries(Prisma.sql`entry`)}) AS usage WHERE minute > ${OLDEST_USAGE}
      GROUP BY workspace_id, capability_profile_id, minute
      ON CONFLICT (workspace_id, minute, capability_profile_id)
      DO UPDATE SET tokens = old.tokens + excluded.tokens, cost_micros = old.cost_micros + excluded.cost_micros,
        jobs = old.jobs + excluded.jobs
    ), ${intervalDeltas(Prisma.sql`entry`)}, upserted_intervals AS (
      ${ADD_INTERVALS}
    ), deleted_usage AS (
      DELETE FROM usage_minutes WHERE minute <= ${OLDEST_USAGE}
    ), moved_position AS (
      UPDATE totals_position p SET order_xid = coalesce(event.order_xid, p.order_xid),
        job_id = coalesce(event.job_id, p.job_id), version = coalesce(event.version, p.version),
        entry_order_xid = coalesce(entry.order_xid, p.entry_order_xid), entry_id = coalesce(entry.id, p.entry_id)
      FROM (SELECT) AS always
      LEFT JOIN (SELECT * FROM change ORDER BY order_xid DESC, job_id DESC, version DESC LIMIT 1) AS event ON true
      LEFT JOIN (SELECT * FROM entry ORDER BY order_xid DESC, id DESC LIMIT 1) AS entry ON true
    )
    SELECT (SELECT count(*) FROM change)::int AS events, (SELECT count(*) FROM entry)::int AS entries`;
  if (!batch) throw new Error("A count is one row.");
  return batch;
}
