import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import type { LogPosition } from "../../src/log/cursor.ts";
import { NIL_UUID } from "../../src/uuid.ts";

/**
 * Puts a database into the states that a failover or a restore leaves behind. The database refuses every one of these changes:
 * its triggers are off for the transaction. test/operate has the same with real PostgreSQL servers.
 */
async function withoutTriggers(prisma: PrismaClient, change: (tx: Transaction) => Promise<void>): Promise<void> {
  await prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await change(tx);
  });
}

/** The end of the log is gone, as after the promotion of a standby that had not received everything: all after a position. */
export function loseAfter(
  prisma: PrismaClient,
  { orderXid, jobId, version }: Omit<LogPosition, "hash">,
): Promise<void> {
  return withoutTriggers(prisma, async (tx) => {
    await tx.$executeRaw`
      DELETE FROM flight_recorder_events WHERE (order_xid, job_id, version) > (${orderXid}, ${jobId}::uuid, ${version})`;
    await tx.$executeRaw`
      DELETE FROM ai_jobs j WHERE NOT EXISTS (SELECT FROM flight_recorder_events e WHERE e.job_id = j.job_id)`;
    await tx.$executeRaw`
      UPDATE ai_jobs j SET version = e.version, state = e.state, order_xid = e.order_xid, chain_hash = e.hash
      FROM (SELECT DISTINCT ON (job_id) * FROM flight_recorder_events ORDER BY job_id, version DESC) AS e
      WHERE e.job_id = j.job_id AND e.version < j.version`;
    // What was aggregated of the lost events was lost with them.
    await tx.$executeRaw`DELETE FROM job_totals`;
    await tx.$executeRaw`DELETE FROM usage_minutes`;
    await tx.$executeRaw`UPDATE totals_position SET order_xid = 0, job_id = ${NIL_UUID}::uuid, version = 0`;
  });
}

/**
 * Lets ids begin further on, as on a PostgreSQL server that has been in use for longer. `onFreshServer` takes it back, and so
 * leaves what a dump of that server is on a fresh one: events that the ids have not reached.
 */
export async function onBusyServer(prisma: PrismaClient, ids = 1_000_000): Promise<void> {
  await prisma.$executeRaw`UPDATE event_log SET epoch = gen_random_uuid(), xid_offset = xid_offset + ${ids}`;
}

/** See `onBusyServer`. */
export function onFreshServer(prisma: PrismaClient, ids = 1_000_000): Promise<void> {
  return withoutTriggers(prisma, async (tx) => {
    await tx.$executeRaw`UPDATE event_log SET xid_offset = xid_offset - ${ids}`;
  });
}
