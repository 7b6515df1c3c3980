import { PrismaPg } from "@prisma/adapter-pg";
import type { SqlMigrationAwareDriverAdapterFactory } from "@prisma/driver-adapter-utils";
import pg from "pg";
import type { Database, PostgresLocation, ReadRows } from "./database.ts";
import { connectError, DatabaseError, preparationError } from "./database-error.ts";
import { assertMigrated, MigrationError, migrate } from "./migrate.ts";
import { Connection, connectionConfig, poolConfig, ScopedPool } from "./pool.ts";
import { assertPoolMode } from "./pooler.ts";
import { preparedStatementNames } from "./prepared.ts";
import { createClient } from "./prisma-client.ts";
import { assertOwnRole, assertPrivileges, grantsTo } from "./privileges.ts";
import { applySettings, assertSettings, type PoolMode } from "./session.ts";

/** The key of the advisory lock: any number, but the same in every server of a database. */
const MIGRATION_LOCK_KEY = 2_026_112_219;
/** PostgreSQL 15, as `server_version_num` says it. */
const MIN_SERVER_VERSION = 150_000;

/**
 * Opens a PostgreSQL database: applies the migrations that it lacks, or finds that it lacks none, and checks that this server
 * can work with it.
 * @throws DatabaseError when it cannot be reached, or not be used as it is.
 * @throws MigrationError when the migrations do not fit, or may not be applied from here.
 */
export async function openPostgres(location: PostgresLocation, onStatement?: (sql: string) => void): Promise<Database> {
  const { url, poolSize, poolMode = "direct" } = location;
  await prepareDatabase(location, poolMode);
  // A pooler in transaction mode gives the next statement to another session, which has not prepared it.
  const statementName = poolMode === "transaction" ? () => "" : preparedStatementNames();
  let commitListener: (read: ReadRows) => void = () => undefined;
  let connectListener: () => void = () => undefined;
  const config = poolConfig(url, poolSize, poolMode, {
    isScoped: true,
    onConnect: () => connectListener(),
    onCommitSent: (read) =>
      commitListener(({ text, values }) => {
        onStatement?.(text);
        return read({ name: statementName({ sql: text }), text, values, types: TYPE_PARSERS });
      }),
  });
  const pool = new ScopedPool(config);
  const adapter = new PrismaPg(pool, { statementNameGenerator: statementName, disposeExternalPool: true });
  const prisma = createClient(adapter, onStatement);
  const onConnect = (listener: typeof connectListener) => {
    connectListener = listener;
  };
  const onCommitSent = (listener: typeof commitListener) => {
    commitListener = listener;
  };
  // Behind a pooler, what follows a COMMIT may go to another connection than the COMMIT.
  const listeners = poolMode === "direct" ? { onConnect, onCommitSent } : { onConnect };
  const state = () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount });
  return { prisma, kind: "postgres", ...listeners, pool: state, close: () => prisma.$disconnect() };
}

/** 64-bit integers as `bigint`, as Prisma returns them. The other types in an event's columns need no conversion. */
const TYPE_PARSERS: pg.CustomTypesConfig = {
  getTypeParser: (oid, format): unknown =>
    oid === pg.types.builtins.INT8 ? BigInt : pg.types.getTypeParser(oid, format),
};

/**
 * Applies only the migrations that a database lacks (`npx ai-job-server migrate`), by a connection of its own.
 * @returns the names of those that were applied. @throws as `openPostgres`.
 */
export async function migratePostgres({
  url,
  poolMode = "direct",
  directUrl,
  migrateUrl,
}: PostgresLocation): Promise<readonly string[]> {
  const [address, setting] = migrationAddress({ url, directUrl, migrateUrl });
  const role = migrateUrl === undefined ? undefined : await roleAt(url, poolMode);
  return withConnection(address, setting, "direct", async (connection) => {
    await assertPoolMode(connection, "direct", () => connect(address, setting, "direct"));
    // Neither a migration nor the wait for another server's has a time limit.
    await connection.query("SET statement_timeout = 0; SET lock_timeout = 0");
    // PostgreSQL releases the lock when the connection ends, so a process that is killed while it migrates locks nobody out.
    await connection.query("SELECT pg_advisory_lock($1)", [MIGRATION_LOCK_KEY]);
    const applied = await migrate(withUnsplitScripts(new PrismaPg(poolConfig(address, 2, "direct")), connection));
    if (role !== undefined) await connection.query(grantsTo(role));
    return applied;
  });
}

/** @returns the address that migrations go to, and the setting that it is from. */
function migrationAddress({
  url,
  directUrl,
  migrateUrl,
}: {
  readonly url: string;
  readonly directUrl: string | undefined;
  readonly migrateUrl: string | undefined;
}): readonly [address: string, setting: string] {
  if (migrateUrl !== undefined) return [migrateUrl, "MIGRATE_DATABASE_URL"];
  return directUrl === undefined ? [url, "DATABASE_URL"] : [directUrl, "DATABASE_DIRECT_URL"];
}

/** @returns the server's own role, quoted, as PostgreSQL says it. */
function roleAt(url: string, mode: PoolMode): Promise<string> {
  return withConnection(url, "DATABASE_URL", mode, async (connection) => {
    const { rows } = await connection.query<{ role: string }>("SELECT quote_ident(current_user) AS role");
    const [row] = rows;
    if (!row) throw new Error("A session has a role.");
    return row.role;
  });
}

/** Migrates, where the server may and can; then checks the way that it works by. */
async function prepareDatabase(location: PostgresLocation, poolMode: PoolMode): Promise<void> {
  const { url, directUrl, migrateUrl, migrates = true, needsOwnRole = false } = location;
  const mayMigrate = migrates && (poolMode === "direct" || directUrl !== undefined || migrateUrl !== undefined);
  if (mayMigrate) await migratePostgres(location);
  await withConnection(url, "DATABASE_URL", poolMode, async (connection) => {
    await assertPoolMode(connection, poolMode, () => connect(url, "DATABASE_URL", poolMode));
    // Not before: behind a pooler in transaction mode, what is set here would stay in somebody else's connection.
    await applySettings(connection, poolMode);
    await assertSettings(connection, poolMode);
    if (!mayMigrate) await assertMigrated(connection);
    await assertWritable(connection);
    await assertPrivileges(connection);
    if (needsOwnRole) await assertOwnRole(connection);
  });
}

/** @throws DatabaseError where nothing can be written here. */
async function assertWritable(connection: pg.Client): Promise<void> {
  const { rows } = await connection.query<{ standby: boolean; readOnly: boolean }>(
    `SELECT pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only')::boolean AS "readOnly"`,
  );
  if (rows[0]?.standby)
    throw new DatabaseError(
      "The PostgreSQL server at the address in DATABASE_URL is a standby. Point it at the primary, or promote this one.",
    );
  if (rows[0]?.readOnly)
    throw new DatabaseError(
      "The database is read-only: default_transaction_read_only is on, for the server, the database or the role. Turn it off.",
    );
}

async function connect(url: string, setting: string, mode: PoolMode): Promise<Connection> {
  const connection = new Connection(connectionConfig(url, mode));
  try {
    await connection.connect();
  } catch (error) {
    await connection.end().catch(() => undefined);
    throw connectError(error, setting);
  }
  return connection;
}

/** @throws DatabaseError and MigrationError as `work` throws them, and DatabaseError for every other failure. */
async function withConnection<T>(
  url: string,
  setting: string,
  mode: PoolMode,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect(url, setting, mode);
  try {
    const { rows } = await connection.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version",
    );
    if ((rows[0]?.version ?? 0) < MIN_SERVER_VERSION) {
      throw new DatabaseError(
        "This server needs PostgreSQL 15 or later. Upgrade it, or point DATABASE_URL at a newer one.",
      );
    }
    return await work(connection);
  } catch (error) {
    if (error instanceof MigrationError || error instanceof DatabaseError) throw error;
    throw preparationError(error);
  } finally {
    await connection.end();
  }
}

/**
 * Replaces `executeScript` of Prisma's adapter, which splits a script at every semicolon, even inside a function body. Here
 * the whole script is sent as one query. PostgreSQL then runs it as one transaction, so a migration that fails leaves
 * nothing behind.
 */
function withUnsplitScripts(
  factory: SqlMigrationAwareDriverAdapterFactory,
  connection: pg.Client,
): SqlMigrationAwareDriverAdapterFactory {
  const connectUnsplit = async () => {
    const adapter = await factory.connect();
    adapter.executeScript = async (script) => {
      await connection.query(script);
    };
    return adapter;
  };
  const { provider, adapterName } = factory;
  return { provider, adapterName, connect: connectUnsplit, connectToShadowDb: () => factory.connectToShadowDb() };
}
