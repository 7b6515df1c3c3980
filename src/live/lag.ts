import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";

/** How far the feed is behind the log, because a transaction that is still open may yet add something before its end. */
export interface Lag {
  /** Milliseconds since the oldest event was recorded that has committed and may not be told yet; 0 where there is none. */
  readonly behindMs: number;
  /** Milliseconds since the oldest open transaction that writes began, in any database of the server; 0 where there is none. */
  readonly oldestTransactionMs: number;
}

/** Milliseconds beyond which somebody should look: a transaction of this server is ended by then, or soon after. */
export const MAX_LAG_MS = 10_000;

/**
 * As it is now, in one statement. Transactions of other users are counted only where this one may see their sessions
 * (`pg_read_all_stats`); what they hold back is counted always.
 */
export async function readLag(prisma: PrismaClient): Promise<Lag> {
  const [lag] = await prisma.$queryRaw<Lag[]>`
    WITH held AS (
      SELECT min(recorded_at) AS since FROM flight_recorder_events
      WHERE order_xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ), open AS (
      SELECT min(began) AS since FROM (
        SELECT xact_start FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
        UNION ALL SELECT prepared FROM pg_prepared_xacts) AS transactions(began)
    )
    SELECT ${millisecondsSince("held.since")} AS "behindMs", ${millisecondsSince("open.since")} AS "oldestTransactionMs"
    FROM held, open`;
  if (!lag) throw new Error("Two rows without a condition make one.");
  return lag;
}

function millisecondsSince(column: string): Prisma.Sql {
  return Prisma.raw(
    `round(greatest(0, coalesce(extract(epoch FROM clock_timestamp() - ${column}) * 1000, 0)))::float8`,
  );
}

/**
 * Makes one look after another tell of a change only.
 * @param onChange hears once when the feed is held back for longer than `longestMs`, and once when that is over.
 */
export function watchLag(
  prisma: PrismaClient,
  maxLagMs: number,
  onChange: (isLate: boolean, lag: Lag) => void,
): () => Promise<void> {
  let isLate = false;
  return async () => {
    // While the database is away nothing is known, and others say that it is.
    const lag = await readLag(prisma).catch(() => undefined);
    if (!lag || lag.behindMs > maxLagMs === isLate) return;
    isLate = !isLate;
    onChange(isLate, lag);
  };
}
