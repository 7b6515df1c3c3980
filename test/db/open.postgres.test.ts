import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { DatabaseError } from "../../src/db/database-error.ts";
import { MigrationError } from "../../src/db/migrate.ts";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, started } from "../support/engine.ts";
import { startProxy } from "../support/interrupt.ts";
import { expireLease } from "../support/jobs.ts";
import { killSpawned, post, spawnServer } from "../support/spawn-server.ts";

/** How a server begins on PostgreSQL. */

let empty: Awaited<ReturnType<typeof createPostgresDatabase>>;
let admin: pg.Client;
beforeEach(async () => {
  empty = await createPostgresDatabase();
  admin = new pg.Client({ connectionString: empty.url });
  await admin.connect();
});
afterEach(async () => {
  await killSpawned();
  await admin.end();
  await empty.drop();
});
afterAll(killSpawned);

function open(): Promise<Database> {
  return openDatabase({ kind: "postgres", url: empty.url, poolSize: 2 });
}

const migrations = (await readdir(fileURLToPath(new URL("../../prisma/migrations", import.meta.url)))).filter(
  (name) => !name.includes("."),
);

test("three servers that start at once on an empty database all come up, and every migration was applied once", async () => {
  const servers = [1, 2, 3].map(() => spawnServer({ DATABASE_URL: empty.url }));
  const urls = await Promise.all(servers.map(({ url }) => url));
  expect(new Set(urls).size).toBe(3);
  for (const url of urls) {
    expect(await post(url, "{ aiJobs(first: 1) { totalCount } }")).toEqual({ aiJobs: { totalCount: 0 } });
  }
  const { rows } = await admin.query(
    `SELECT migration_name, finished_at IS NOT NULL AS finished, applied_steps_count
       FROM _prisma_migrations ORDER BY migration_name`,
  );
  expect(rows).toEqual(
    migrations.toSorted().map((migration_name) => ({ migration_name, finished: true, applied_steps_count: 1 })),
  );
  expect((await admin.query("SELECT epoch FROM event_log")).rowCount).toBe(1);
});

test("a server that has started holds no lock that would keep the next one waiting", async () => {
  const database = await open();
  const locks =
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
  expect((await admin.query(locks)).rows).toEqual([]);
  await database.close();
});

test("a start waits for the one that migrates, and then finds nothing to do", async () => {
  await admin.query("SELECT pg_advisory_lock(2026112219)");
  const opening = open();
  await vi.waitUntil(async () => {
    const waiting =
      "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    return (await admin.query(waiting)).rowCount === 1;
  }, 10_000);
  expect((await admin.query("SELECT to_regclass('ai_jobs') AS jobs")).rows).toEqual([{ jobs: null }]);
  await admin.query("SELECT pg_advisory_unlock_all()");
  await (await opening).close();
  expect((await admin.query("SELECT to_regclass('ai_jobs') IS NOT NULL AS there")).rows).toEqual([{ there: true }]);
});

test("a migration that fails stops the start, keeps nothing of itself, and the next start says what to do", async () => {
  // The last function that a migration with many makes: everything before it has been done by then.
  await admin.query("CREATE FUNCTION bulk_action_items_count_finished() RETURNS int LANGUAGE sql AS 'SELECT 1'");
  const first = await open().catch((error: unknown) => error);
  expect(first).toBeInstanceOf(MigrationError);
  expect(first).toHaveProperty("message", expect.stringContaining("set rolled_back_at"));
  expect(first).toHaveProperty(
    "cause.message",
    expect.stringContaining('function "bulk_action_items_count_finished" already exists'),
  );
  const { rows } = await admin.query("SELECT proname FROM pg_proc WHERE proname = 'ai_jobs_refuse_update'");
  expect(rows).toEqual([]);

  const second = await spawnServer({ DATABASE_URL: empty.url }).exited;
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(
    /^The migration \d+_database_checks failed on this database earlier\. Look at its row in _prisma_migrations, .*start again\.\n$/,
  );

  await admin.query("DROP FUNCTION bulk_action_items_count_finished()");
  await admin.query("UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL");
  const database = await open();
  expect(await within(EVERYWHERE, () => database.prisma.aiJob.count())).toBe(0);
  await database.close();
});

test("a database that is newer than this server stops the start", async () => {
  await (await open()).close();
  await admin.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
     VALUES (gen_random_uuid(), repeat('a', 64), '29990101000000_later', now(), 1)`,
  );
  await expect(open()).rejects.toThrow(
    "This database is newer than this server: it has the migration 29990101000000_later, which this version does not " +
      "know. Start the version that made it, or a later one.",
  );
});

test("a database that does not answer stops the start, with a sentence that names the setting and no password", async () => {
  const location = { kind: "postgres", url: "postgres://somebody:hunter2@127.0.0.1:1/none", poolSize: 2 } as const;
  const error = await openDatabase(location).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(DatabaseError);
  expect(error).toHaveProperty(
    "message",
    expect.stringMatching(/^PostgreSQL does not answer at the address in DATABASE_URL\./),
  );
  expect(error).not.toHaveProperty("message", expect.stringContaining("hunter2"));
});

test("a connection that breaks while the start waits for its turn stops it with a sentence", async () => {
  await admin.query("SELECT pg_advisory_lock(2026112219)");
  const server = spawnServer({ DATABASE_URL: empty.url, PGAPPNAME: "waits-for-its-turn" });
  await vi.waitUntil(async () => {
    const { rows } = await admin.query<{ ended: boolean }>(
      `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'waits-for-its-turn' AND wait_event_type = 'Lock'`,
    );
    return rows[0]?.ended;
  }, 20_000);
  const { code, stderr } = await server.exited;
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr:
      "PostgreSQL answered, but the database could not be prepared, and the server did not start. Fix the cause named " +
      "below, then start again.\n  Cause: terminating connection due to administrator command\n",
  });
});

test("a migration is not said to have failed where none was begun, and nothing is then to be mended", async () => {
  await (await open()).close();
  // The one that makes the tables: it cannot be applied twice.
  const [first] = migrations.toSorted();
  await admin.query("DELETE FROM _prisma_migrations WHERE migration_name = $1", [first]);
  await admin.query("CREATE RULE deaf AS ON INSERT TO _prisma_migrations DO INSTEAD SELECT 1 / 0");
  await expect(open()).rejects.toThrow(DatabaseError);
  await admin.query("DROP RULE deaf ON _prisma_migrations");
  await expect(open()).rejects.toThrow(MigrationError);
});

test("a start that cannot recover what a crash left behind ends with a sentence", async () => {
  const database = await open();
  const claim = await started(engineOn(database));
  await within(EVERYWHERE, () => expireLease(database, claim));
  await database.close();
  await admin.query(
    "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''the roof is on fire''; END'",
  );
  await admin.query("CREATE TRIGGER fails BEFORE UPDATE ON workflow_runs FOR EACH ROW EXECUTE FUNCTION fails()");
  const { code, stderr } = await spawnServer({ DATABASE_URL: empty.url }).exited;
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^Runs whose lease has passed could not be recovered\. Start the server again\.\n {2}Cause: [^]*the roof is on fire/,
  );
});

test("a connection that breaks as soon as it is there is replaced, and does not end the process", async () => {
  const proxy = await startProxy(empty.url);
  const database = await openDatabase({ kind: "postgres", url: proxy.url, poolSize: 1 });
  try {
    proxy.endNextGreeting();
    const context = { prisma: database.prisma, notifyCommit: () => undefined };
    expect(await inTransaction(context, EVERYWHERE, (tx) => tx.$queryRaw`SELECT 1 AS one`)).toEqual([{ one: 1 }]);
  } finally {
    await database.close();
    await proxy.close();
  }
});

test("every session has UTC, read committed, and an end to what holds locks too long", async () => {
  const database = await open();
  const [settings] = await within(
    EVERYWHERE,
    () => database.prisma.$queryRaw<object[]>`
    SELECT current_setting('timezone') AS zone, current_setting('default_transaction_isolation') AS isolation,
      current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
      current_setting('idle_in_transaction_session_timeout') AS idle`,
  );
  expect(settings).toEqual({ zone: "UTC", isolation: "read committed", statement: "15s", lock: "8s", idle: "15s" });
  await database.close();
});
