import { createHash, randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { PrismaPg } from "@prisma/adapter-pg";
import pg from "pg";
import type { Database, DatabaseLocation, PostgresLocation } from "../../src/db/database.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { openDatabase, openOnPglite } from "../../src/db/open.ts";
import { createPglite } from "../../src/db/pglite.ts";
import { PgliteAdapterFactory } from "../../src/db/pglite-adapter.ts";
import { poolConfig } from "../../src/db/pool.ts";
import { createClient } from "../../src/db/prisma-client.ts";

/** The PostgreSQL server for tests. Its user must be allowed to create databases and roles, and sets them up: servers have a role of their own. */
export const TEST_DATABASE_URL = process.env.TEST_DATABASE_URL ?? "postgres://postgres@127.0.0.1:5432/postgres";

/** The role of servers under test: row-level security holds for it. */
const SERVER_ROLE = "ai_job_server_test";
const SERVER_PASSWORD = "of tests alone";

/**
 * A database for a test. Its `prisma` is the test's own: it is a superuser's, and sees everything. What runs on the server's side
 * (`engineOn`, `startTestServer`) has `serverSide`.
 */
export interface TestDatabase extends Database {
  readonly location: DatabaseLocation;
  /** Its address on PostgreSQL, as the superuser; empty on the embedded store. */
  readonly url: string;
  /** What a server process opens it with; on PostgreSQL. */
  readonly env: Readonly<Record<string, string>>;
  /** The SQL statements sent since the last call, in order, by the server's side and by the test. */
  statements(): readonly string[];
}

/** The server's side of each test database, by the test's own client. */
const serverSides = new WeakMap<PrismaClient, Database>();

/** @returns the database as a server has it, with its role; the database itself where it is not one of `openTestDatabase`. */
export function serverSide(database: Database): Database {
  const server = serverSides.get(database.prisma);
  return server ? { ...database, prisma: server.prisma } : database;
}

/** The test's own client of each test database, by the client of the server's side. */
const testSides = new WeakMap<PrismaClient, PrismaClient>();

/** @returns the test's own client, where an engine is all that a test has at hand. */
export function testSide({ prisma }: Pick<Database, "prisma">): PrismaClient {
  return testSides.get(prisma) ?? prisma;
}

/**
 * A new, migrated database on the store of this test project: PostgreSQL or the embedded one. `close` removes it.
 */
export async function openTestDatabase(): Promise<TestDatabase> {
  const statements = new Statements();
  return process.env.TEST_STORE === "postgres" ? openOnPostgres(statements) : openInMemory(statements);
}

class Statements {
  #received: string[] = [];
  readonly add = (sql: string) => {
    this.#received.push(sql);
  };
  readonly take = (): readonly string[] => {
    const statements = this.#received;
    this.#received = [];
    return statements;
  };
}

async function openOnPostgres(statements: Statements): Promise<TestDatabase> {
  const { url, location, env, drop } = await createFrom(await migratedTemplate());
  try {
    const prisma = createClient(new PrismaPg(poolConfig(url, 10, "direct")), statements.add);
    // As if it had been made by itself: no two databases have one log, or one channel.
    await prisma.$executeRaw`
      UPDATE event_log SET epoch = gen_random_uuid(), began_at = CURRENT_TIMESTAMP, hint_channel = gen_random_uuid()`;
    const server = await openDatabase(location, statements.add);
    statements.take();
    return withOwnClient(server, prisma, { location, url, env, drop, statements: statements.take });
  } catch (error) {
    await drop();
    throw error;
  }
}

async function openInMemory(statements: Statements): Promise<TestDatabase> {
  const pglite = await createPglite();
  const server = await openOnPglite(pglite, "memory", statements.add);
  // Its one session is a superuser's, which has changed to the server's role.
  const prisma = createClient(new PgliteAdapterFactory(pglite, () => "SET LOCAL ROLE NONE"), statements.add);
  const location = { kind: "memory" } as const;
  const drop = async () => undefined;
  return withOwnClient(server, prisma, { location, url: "", env: {}, drop, statements: statements.take });
}

function withOwnClient(
  server: Database,
  prisma: PrismaClient,
  {
    drop,
    ...more
  }: Pick<TestDatabase, "location" | "url" | "env" | "statements"> & { readonly drop: () => Promise<void> },
): TestDatabase {
  serverSides.set(prisma, server);
  testSides.set(server.prisma, prisma);
  const close = async () => {
    await prisma.$disconnect();
    await server.close();
    await drop();
  };
  return { ...server, prisma, ...more, close };
}

/** An empty PostgreSQL database. */
export interface PostgresDatabase {
  /** Its address, as the superuser. */
  readonly url: string;
  /** Where a server opens it: with its own role, and the superuser for the migrations. */
  readonly location: PostgresLocation;
  /** The same as environment variables. */
  readonly env: Readonly<Record<"DATABASE_URL" | "MIGRATE_DATABASE_URL", string>>;
  /** Drops it, with all connections to it. */
  readonly drop: () => Promise<void>;
}

/** Creates an empty PostgreSQL database. */
export async function createPostgresDatabase(): Promise<PostgresDatabase> {
  await makeServerRole();
  return createFrom("template1");
}

async function createFrom(template: string): Promise<PostgresDatabase> {
  const name = `ai_job_server_test_${randomUUID().replaceAll("-", "")}`;
  await asAdmin(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(TEST_DATABASE_URL);
  url.pathname = `/${name}`;
  const ofServer = new URL(url);
  ofServer.username = SERVER_ROLE;
  ofServer.password = SERVER_PASSWORD;
  return {
    url: url.href,
    location: { kind: "postgres", url: ofServer.href, migrateUrl: url.href, poolSize: 10 },
    env: { DATABASE_URL: ofServer.href, MIGRATE_DATABASE_URL: url.href },
    drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

let template: Promise<string> | undefined;

/**
 * A migrated database, from which others are copied in a tenth of the time that the migrations take.
 * @returns its name, which tells the migrations that it has. It stays for the next run of the tests.
 */
function migratedTemplate(): Promise<string> {
  template ??= makeTemplate();
  return template;
}

async function makeTemplate(): Promise<string> {
  await makeServerRole();
  const hash = createHash("sha256");
  const folder = new URL("../../prisma/migrations/", import.meta.url);
  for (const path of (await readdir(folder, { recursive: true })).toSorted())
    if (path.endsWith(".sql")) hash.update(path).update(await readFile(new URL(path, folder)));
  const name = `ai_job_server_template_${hash.digest("hex").slice(0, 16)}`;
  const client = new pg.Client({ connectionString: TEST_DATABASE_URL });
  await client.connect();
  try {
    // Several test processes come at once; the lock ends with the connection.
    await client.query("SELECT pg_advisory_lock(hashtext($1))", [name]);
    const isThere = "SELECT FROM pg_database WHERE datname = $1";
    if ((await client.query(isThere, [name])).rowCount === 1) return name;
    const { location, url } = await createFrom("template1");
    await (await openDatabase(location)).close();
    // Last, so that a template is a whole one.
    await client.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} RENAME TO ${name}`);
    return name;
  } finally {
    await client.end();
  }
}

let roleMade: Promise<void> | undefined;

/** Several test processes may do so at once. */
function makeServerRole(): Promise<void> {
  roleMade ??= asAdmin(`DO $$ BEGIN CREATE ROLE ${SERVER_ROLE} LOGIN PASSWORD '${SERVER_PASSWORD}';
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`);
  return roleMade;
}

/** Runs a statement as the user of the PostgreSQL server for tests. */
export async function asAdmin(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: TEST_DATABASE_URL });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
