import { PrismaPg } from "@prisma/adapter-pg";
import type { SqlMigrationAwareDriverAdapterFactory } from "@prisma/driver-adapter-utils";
import pg from "pg";
import { type Prisma, PrismaClient } from "./generated/client/client.ts";
import { MigrationError, migrate } from "./migrate.ts";
import { createPglite, openPglite } from "./pglite.ts";
import { PgliteAdapterFactory } from "./pglite-adapter.ts";
import { Connection, connectionConfig, poolConfig } from "./pool.ts";
import { PLANNER_SETTINGS, preparedStatementNames } from "./prepared.ts";

/** Where jobs are kept. Made from DATABASE_URL by the configuration. */
export type DatabaseLocation =
  | { readonly kind: "memory" }
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string; readonly poolSize: number };

/** An open, migrated database. */
export interface Database {
  readonly prisma: PrismaClient;
  readonly kind: DatabaseLocation["kind"];
  /**
   * Has `reader`, instead of an earlier one, called whenever a COMMIT has been sent: it may read something right behind it
   * (connection.ts). Missing on the embedded store, which has one connection.
   */
  onCommitSent?(reader: (read: ReadRows) => void): void;
  close(): Promise<void>;
}

/** Sends a statement. @returns its rows, as Prisma would give them; they may reject whatever became of the COMMIT. */
export type ReadRows = <Row extends object>(sql: Prisma.Sql) => Promise<Row[]>;

/** A database that cannot be used as it is; the message says what to do. */
export class DatabaseError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "DatabaseError";
  }
}

/** How long a transaction may wait for a connection, and how long it may take: milliseconds. */
const TRANSACTION_LIMITS = { maxWait: 10_000, timeout: 10_000 };

/**
 * Opens the database and applies what migrations it lacks; several servers may do so at once.
 * @param onStatement hears every SQL statement, for tests that count them.
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
  const pool = poolConfig(withSessionSettings(location.url), location.poolSize, (read) =>
    commitListener(({ text, values }) => {
      onStatement?.(text);
      return read({ name: statementName({ sql: text }), text, values, types: TYPE_PARSERS });
    }),
  );
  const adapter = new PrismaPg(pool, { statementNameGenerator: statementName });
  await withMigrationLock(location.url, (connection) => migrate(withUnsplitScripts(adapter, connection)));
  const prisma = createClient(adapter, onStatement);
  const onCommitSent = (reader: typeof commitListener) => {
    commitListener = reader;
  };
  return { prisma, kind: "postgres", onCommitSent: onCommitSent, close: () => prisma.$disconnect() };
}

/** 64-bit numbers as Prisma has them; everything else that events are made of is alike. */
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
 * Every session: UTC, which Prisma's adapter takes each timestamp for; read committed, which every compare-and-set
 * here is written for; an end to whatever holds locks too long, since the feed waits for the oldest transaction; and
 * plans as this server needs them.
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

/** Any fixed number: all servers of one database must agree on it. */
const MIGRATION_LOCK_KEY = 2_026_112_219;
const MIN_SERVER_VERSION = 150_000;

/**
 * Prisma's adapter cuts a script at every semicolon, those inside of functions included. A script is sent whole here,
 * which also makes it one transaction: a migration that fails leaves nothing behind.
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

/** A session-level lock on a connection of its own: it ends with the process that holds it, however that ends. */
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
      throw new DatabaseError("This server needs PostgreSQL 15 or later. Point DATABASE_URL at such a one.");
    }
    await connection.query("SELECT pg_advisory_lock($1)", [MIGRATION_LOCK_KEY]);
    await work(connection);
  } catch (error) {
    if (error instanceof MigrationError || error instanceof DatabaseError) throw error;
    throw new DatabaseError(
      "PostgreSQL answered, and then the database could not be made ready. Nothing was served from it. Start again " +
        "when what the cause names is over.",
      error,
    );
  } finally {
    await connection.end();
  }
}
