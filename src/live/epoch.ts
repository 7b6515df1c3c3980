import type { PrismaClient } from "../db/generated/client/client.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import type { Transaction } from "../db/transaction.ts";
import { recountTotals } from "../totals/aggregate.ts";

/** Milliseconds that beginning an epoch may take: totals are counted anew from the whole log. */
const TIMEOUT_MS = 3_600_000;
/** Milliseconds to wait until the last transaction that writes has ended; then the next attempt begins. */
const LOCK_TIMEOUT_MS = 20_000;

/**
 * Begins a new epoch of the log, for all servers, in one transaction (section 10): the epoch's id changes, so that every
 * cursor from before is answered with CURSOR_EXPIRED; the offset of `order_xid` grows as far as needed, so that everything
 * that is written from now on lies after everything that is stored; and totals and usage are counted anew.
 *
 * What can run at the same time:
 * - Commands. Each locks rows of `ai_jobs`, or inserts one, before or while it asks for `current_order_xid()`. The lock
 *   taken here waits for all that have begun, and later ones wait for it and then see the new offset.
 * - The aggregation of totals. It locks `totals_position`; so does this.
 * - The same call of another server. It waits for the row of `event_log`, and then finds an epoch that it did not know.
 * @param knownEpoch the epoch that the caller found broken.
 * @param reason what broke, for the log and /health.
 * @param endedEpochBegan when the epoch began that the caller knew, if the database has an earlier one again. The new one
 *   counts as begun later than both, also where the clocks of PostgreSQL servers differ: so it is told from an earlier one.
 * @returns whether this call began the epoch; false where another one had done so.
 */
export function beginEpoch(
  prisma: PrismaClient,
  knownEpoch: string,
  reason: string,
  endedEpochBegan = new Date(0),
): Promise<boolean> {
  return within(allWorkspaces("feed"), () =>
    prisma.$transaction((tx) => begin(tx, knownEpoch, reason, endedEpochBegan), {
      maxWait: LOCK_TIMEOUT_MS,
      timeout: TIMEOUT_MS,
    }),
  );
}

async function begin(tx: Transaction, knownEpoch: string, reason: string, endedEpochBegan: Date): Promise<boolean> {
  await tx.$executeRawUnsafe(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
  await tx.$executeRawUnsafe(`SET LOCAL statement_timeout = ${TIMEOUT_MS}`);
  await tx.$executeRawUnsafe(`SET LOCAL idle_in_transaction_session_timeout = 0`);
  const [log] = await tx.$queryRaw<{ epoch: string }[]>`SELECT epoch::text AS epoch FROM event_log FOR UPDATE`;
  if (log?.epoch !== knownEpoch) return false;
  // EXCLUSIVE also waits for those who have only locked rows: they may have asked for their order_xid already. Nobody writes an
  // event without its job.
  await tx.$executeRaw`LOCK TABLE ai_jobs IN EXCLUSIVE MODE`;
  await tx.$executeRaw`SELECT FROM totals_position FOR UPDATE`;
  // The smallest id that a transaction may yet write with is that of the oldest open one.
  await tx.$executeRaw`
    UPDATE event_log SET epoch = gen_random_uuid(), reason = ${reason},
      began_at = greatest(clock_timestamp(), greatest(began_at, ${endedEpochBegan}) + interval '1 millisecond'),
      xid_offset = greatest(xid_offset, 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint + greatest(kept_from,
        (SELECT coalesce(max(order_xid), 0) FROM flight_recorder_events),
        (SELECT coalesce(max(order_xid), 0) FROM usage_entries)))`;
  await recountTotals(tx);
  return true;
}
