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
    await tx.$executeRaw`DELETE FROM usage_intervals`;
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

/** All rows of a database at one moment, by table, each as PostgreSQL writes it: what a backup or a standby has. */
export type Backup = ReadonlyMap<string, readonly string[]>;

/** Where the ids of the transactions after a restore lie. */
export interface RestoredIds {
  /** How far the next id lies behind the last stored event; 0: right after it, and so ids of lost events are given again. */
  readonly behind: number;
}

/** @returns what the database has now. */
export async function backUp(prisma: PrismaClient): Promise<Backup> {
  const tables = await prisma.$queryRaw<{ name: string }[]>`
    SELECT tablename AS name FROM pg_tables
    WHERE schemaname = current_schema() AND tablename NOT IN ('_prisma_migrations', 'capability_profiles')`;
  // One statement, and so one snapshot of all tables.
  const each = tables.map(({ name }) => `SELECT '${name}' AS name, ARRAY(SELECT t::text FROM ${name} t) AS rows`);
  const backup = await prisma.$queryRawUnsafe<{ name: string; rows: string[] }[]>(each.join(" UNION ALL "));
  return new Map(backup.map(({ name, rows }) => [name, rows]));
}

/** @returns the columns of a table that are not generated from others, quoted. */
async function storedColumns(tx: Transaction, table: string): Promise<readonly string[]> {
  const rows = await tx.$queryRaw<{ name: string }[]>`
    SELECT quote_ident(attname) AS name FROM pg_attribute
    WHERE attrelid = ${table}::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`;
  return rows.map(({ name }) => name);
}

/**
 * Restores a backup, in one transaction: all that was written after it is gone, as if the database's address had moved.
 * @param ids left out: the ids go on.
 * @param except tables that are left as they are.
 */
export function restore(
  prisma: PrismaClient,
  backup: Backup,
  ids?: RestoredIds,
  except: readonly string[] = [],
): Promise<void> {
  return withoutTriggers(prisma, async (tx) => {
    for (const [name, rows] of backup) {
      if (except.includes(name)) continue;
      await tx.$executeRawUnsafe(`DELETE FROM ${name}`);
      const columns = await storedColumns(tx, name);
      const insert = `INSERT INTO ${name} (${columns.join()}) SELECT`;
      const values = columns.map((column) => `(r::${name}).${column}`).join();
      await tx.$executeRawUnsafe(`${insert} ${values} FROM unnest($1::text[]) AS r`, rows);
    }
    // The id of this transaction is the last one that was given.
    if (ids)
      await tx.$executeRaw`
        UPDATE event_log SET xid_offset = (SELECT max(order_xid) FROM flight_recorder_events)
          - pg_current_xact_id()::text::bigint - ${ids.behind}`;
  });
}
