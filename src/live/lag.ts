import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { allWorkspaces, within } from "../db/scope.ts";

/**
 * How far the feed is behind the log. It must not read past the oldest open transaction of this database, which may still
 * add events (section 4).
 */
export interface Lag {
  /** The age in milliseconds of the oldest committed event that may not be delivered yet; 0 if there is none. */
  readonly behindMs: number;
  /**
   * The age in milliseconds of the oldest open write transaction in this database; 0 if there is none.
   */
  readonly oldestTransactionMs: number;
  /** Which transaction holds the feed back, where it has done so for a second: its process, program, database and age. */
  readonly heldBackBy: string | null;
}

/** Milliseconds that the feed may be behind before somebody is named: a write that is under way is nobody's fault. */
const NAMED_AFTER_MS = 1_000;

/**
 * Milliseconds of lag above which an operator should look. The server's own transactions end within about this time, so
 * a longer lag comes from somebody else's transaction.
 */
export const MAX_LAG_MS = 10_000;

/**
 * Reads the current lag in one statement. `oldestTransactionMs` includes the sessions of other database users only if
 * this user may see them (`pg_read_all_stats`); `behindMs` always includes their effect.
 *
 * It does not ask for the watermark, but for the transactions that hold it: one that ends while somebody looks holds a
 * watermark back until the next look, and is not worth telling.
 */
export async function readLag(prisma: PrismaClient): Promise<Lag> {
  const [lag] = await within(
    allWorkspaces("feed"),
    () => prisma.$queryRaw<Lag[]>`
    WITH open AS (
      -- Those that log_watermark() does not pass over. Everybody sees who has a transaction's id; since when it is open only
      -- who may see the sessions of others.
      SELECT backend_xid AS id, xact_start AS since,
        format('process %s (%s) of database %s', pid, coalesce(nullif(application_name, ''), 'no name'), coalesce(datname, 'none')) AS who
      FROM pg_stat_activity
      WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND (datid IS NULL OR datname = current_database())
      UNION ALL
      SELECT transaction, prepared, format('prepared transaction %s of database %s', gid, database)
      FROM pg_prepared_xacts WHERE database = current_database()
    ), holder AS (
      SELECT snapshot.id::text::bigint AS id, since, who
      FROM pg_snapshot_xip(pg_current_snapshot()) AS snapshot(id) JOIN open ON open.id = snapshot.id::xid
      ORDER BY id LIMIT 1
    ), oldest_undelivered AS (
      SELECT min(recorded_at) AS since FROM flight_recorder_events
      WHERE order_xid >= (SELECT id + xid_offset FROM holder, event_log)
    ), oldest_transaction AS (
      SELECT min(since) AS since FROM open
    )
    SELECT ${millisecondsSince("oldest_undelivered.since")} AS "behindMs",
      ${millisecondsSince("oldest_transaction.since")} AS "oldestTransactionMs",
      (SELECT who || CASE WHEN since IS NULL
          THEN ', since a time that GRANT pg_read_all_stats TO ' || quote_ident(current_user) || ' would show'
          ELSE format(', open for %s ms', ${millisecondsSince("holder.since")}::bigint) END
        FROM holder) AS "heldBackBy"
    FROM oldest_undelivered, oldest_transaction`,
  );
  if (!lag) throw new Error("An aggregate without GROUP BY returned no row.");
  return lag.behindMs < NAMED_AFTER_MS ? { ...lag, heldBackBy: null } : lag;
}

function millisecondsSince(column: string): Prisma.Sql {
  return Prisma.raw(
    `round(greatest(0, coalesce(extract(epoch FROM clock_timestamp() - ${column}) * 1000, 0)))::float8`,
  );
}

/**
 * Makes a check that reports only changes, so that a long lag is logged once and not at every check.
 * @param maxLagMs milliseconds of lag above which the feed counts as late.
 * @param onChange called once when the lag exceeds `maxLagMs`, and once when it no longer does.
 * @returns the check, to be called again and again; it never rejects.
 */
export function watchLag(
  prisma: PrismaClient,
  maxLagMs: number,
  onChange: (isLate: boolean, lag: Lag) => void,
): () => Promise<void> {
  let isLate = false;
  return async () => {
    // While the database is away the lag is unknown; other log lines and /health report that.
    const lag = await readLag(prisma).catch(() => undefined);
    if (!lag || lag.behindMs > maxLagMs === isLate) return;
    isLate = !isLate;
    onChange(isLate, lag);
  };
}
