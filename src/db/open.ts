import { PrismaPg } from "@prisma/adapter-pg";
import type { SqlMigrationAwareDriverAdapterFactory } from "@prisma/driver-adapter-utils";
import pg from "pg";
import { type Prisma, PrismaClient } from "./generated/client/client.ts";
import { MigrationError, migrate } from "./migrate.ts";
import { createPglite, openPglite } from "./pglite.ts";
import { PgliteAdapterFactory } from "./pglite-adapter.ts";
import { Connection, connectionConfig, poolConfig } from "./pool.ts";
import { PLANNER_SETTINGS, preparedStatementNames } from "./prepared.ts";

/** Where the database is. The configuration makes this from DATABASE_URL. */
export type DatabaseLocation =
  | { readonly kind: "memory" }
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string; readonly poolSize: number };

/** An open, migrated database. */
export interface Database {
  readonly prisma: PrismaClient;
  readonly kind: DatabaseLocation["kind"];
  /**
   * Registers the one listener that is called each time a COMMIT has been sent; a later call replaces it. The listener may
   * read with the given function, on the connection of that COMMIT and directly after it (see `OnCommitSent` in pool.ts).
   * Missing on the embedded database: it has one connection, so a separate read costs the same.
   */
  onCommitSent?(listener: (read: ReadRows) => void): void;
  /**
   * Registers the one listener that is called for each new connection: it may be to another PostgreSQL server than the ones
   * before. Missing on the embedded database, which has one connection for as long as it is open.
   */
  onConnect?(listener: () => void): void;
  /** Closes all connections. A folder of the embedded database is then free for another process. */
  close(): Promise<void>;
}

/** Sends a statement. @returns its rows, as Prisma returns them. A rejection says nothing about the COMMIT before it. */
export type ReadRows = <Row extends object>(sql: Prisma.Sql) => Promise<Row[]>;

/** The database cannot be used as it is. The message says what to do. */
export class DatabaseError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "DatabaseError";
  }
}

/** In milliseconds: how long a transaction may wait for a connection, and how long it may then take. */
const TRANSACTION_LIMITS = { maxWait: 10_000, timeout: 10_000 };

/**
 * Opens the database and applies the migrations that it lacks. Several servers may do so at once: on PostgreSQL a lock lets
 * one of them migrate while the others wait.
 * @param onStatement called with the text of every SQL statement, for tests that count statements.
 * @throws DatabaseError when PostgreSQL cannot be reached, is older than version 15, or fails while it is prepared.
 * @throws MigrationError when the migrations cannot be applied to this database.
 * @throws FolderInUseError when another live process uses the folder of the embedded database.
 */
export async function openDatabase(location: DatabaseLocation, onStatement?: (sql: string) => void): Promise<Database> {
  switch (location.kind) {
    case "memory":
    case "folder":
      return openEmbedded(location, onStatement);
    case "postgres":
      return openPostgres(location, onStatement);
  }
}

async function openEmbedded(
  location: Exclude<DatabaseLocation, { kind: "postgres" }>,
  onStatement?: (sql: string) => void,
): Promise<Database> {
  const pglite = await (location.kind === "memory" ? createPglite() : openPglite(location.path));
  const adapter = new PgliteAdapterFactory(pglite);
  try {
    await migrate(adapter);
  } catch (error) {
    await pglite.close();
    throw error;
  }
  const prisma = createClient(adapter, onStatement);
  const close = async () => {
    await prisma.$disconnect();
    await pglite.close();
  };
  return { prisma, kind: location.kind, close };
}

async function openPostgres(
  location: Extract<DatabaseLocation, { kind: "postgres" }>,
  onStatement?: (sql: string) => void,
): Promise<Database> {
  const statementName = preparedStatementNames();
  let commitListener: (read: ReadRows) => void = () => undefined;
  let connectListener: () => void = () => undefined;
  const pool = poolConfig(withSessionSettings(location.url), location.poolSize, {
    onConnect: () => connectListener(),
    onCommitSent: (read) =>
      commitListener(({ text, values }) => {
        onStatement?.(text);
        return read({ name: statementName({ sql: text }), text, values, types: TYPE_PARSERS });
      }),
  });
  const adapter = new PrismaPg(pool, { statementNameGenerator: statementName });
  await withMigrationLock(location.url, (connection) => migrate(withUnsplitScripts(adapter, connection)));
  const prisma = createClient(adapter, onStatement);
  const onCommitSent = (listener: typeof commitListener) => {
    commitListener = listener;
  };
  const onConnect = (listener: () => void) => {
    connectListener = listener;
  };
  return { prisma, kind: "postgres", onCommitSent, onConnect, close: () => prisma.$disconnect() };
}

/** 64-bit integers as `bigint`, as Prisma returns them. The other types in an event's columns need no conversion. */
const TYPE_PARSERS: pg.CustomTypesConfig = {
  getTypeParser: (oid, format): unknown =>
    oid === pg.types.builtins.INT8 ? BigInt : pg.types.getTypeParser(oid, format),
};

function createClient(
  adapter: SqlMigrationAwareDriverAdapterFactory,
  onStatement?: (sql: string) => void,
): PrismaClient {
  const prisma = new PrismaClient({
    adapter,
    errorFormat: "minimal",
    transactionOptions: TRANSACTION_LIMITS,
    log: onStatement ? [{ emit: "event", level: "query" }] : [],
  });
  if (onStatement) prisma.$on("query", (event) => onStatement(event.query));
  return prisma;
}

/**
 * Adds the settings of every session to the address:
 * - UTC, because Prisma's adapter reads every timestamp as UTC.
 * - READ COMMITTED, because every compare-and-set of this server is written for it.
 * - Time limits in milliseconds, because the feed can read only up to the oldest open transaction (section 4): one that
 *   never ended would stop all subscriptions.
 * - The planner settings of prepared.ts.
 */
function withSessionSettings(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  const settings = {
    timezone: "UTC",
    default_transaction_isolation: "read\\ committed",
    statement_timeout: "15000",
    lock_timeout: "8000",
    idle_in_transaction_session_timeout: "15000",
    ...PLANNER_SETTINGS,
  };
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  url.searchParams.set("options", [url.searchParams.get("options") ?? "", ...options].join(" ").trim());
  return url.href;
}

/** The key of the advisory lock: any number, but the same in every server of a database. */
const MIGRATION_LOCK_KEY = 2_026_112_219;
/** PostgreSQL 15, as `server_version_num` says it. */
const MIN_SERVER_VERSION = 150_000;

/**
 * Replaces `executeScript` of Prisma's adapter, which splits a script at every semicolon, even inside a function body. Here
 * the whole script is sent as one query. PostgreSQL then runs it as one transaction, so a migration that fails leaves
 * nothing behind.
 */
function withUnsplitScripts(
  factory: SqlMigrationAwareDriverAdapterFactory,
  connection: pg.Client,
): SqlMigrationAwareDriverAdapterFactory {
  const connect = async () => {
    const adapter = await factory.connect();
    adapter.executeScript = async (script) => {
      await connection.query(script);
    };
    return adapter;
  };
  const { provider, adapterName } = factory;
  return { provider, adapterName, connect, connectToShadowDb: () => factory.connectToShadowDb() };
}

/**
 * Runs `work` under a session-level advisory lock, on a connection of its own. PostgreSQL releases the lock when the
 * connection ends, so a process that is killed while it migrates does not lock out the others.
 * @throws MigrationError as `work` throws it, and DatabaseError for every other failure.
 */
async function withMigrationLock(url: string, work: (connection: pg.Client) => Promise<unknown>): Promise<void> {
  const connection = new Connection(connectionConfig(url));
  try {
    await connection.connect();
  } catch (error) {
    throw new DatabaseError(
      "PostgreSQL does not answer at the address in DATABASE_URL. Start it, or correct the address; unset " +
        "DATABASE_URL to use the embedded database.",
      error,
    );
  }
  try {
    const { rows } = await connection.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int AS version",
    );
    if ((rows[0]?.version ?? 0) < MIN_SERVER_VERSION) {
      throw new DatabaseError(
        "This server needs PostgreSQL 15 or later. Upgrade it, or point DATABASE_URL at a newer one.",
      );
    }
    await connection.query("SELECT pg_advisory_lock($1)", [MIGRATION_LOCK_KEY]);
    await work(connection);
  } catch (error) {
    if (error instanceof MigrationError || error instanceof DatabaseError) throw error;
    throw new DatabaseError(
      "PostgreSQL answered, but the database could not be prepared, and the server did not start. Fix the cause named " +
        "below, then start again.",
      error,
    );
  } finally {
    await connection.end();
  }
}
