import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Database, DatabaseLocation } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";

/** The PostgreSQL server for tests. Its user must be allowed to create databases. */
const TEST_DATABASE_URL = process.env.TEST_DATABASE_URL ?? "postgres://postgres@127.0.0.1:5432/postgres";

export interface TestDatabase extends Database {
  readonly location: DatabaseLocation;
  /** The SQL statements sent since the last call, in order. */
  statements(): readonly string[];
}

/**
 * A new, migrated database on the store of this test project: PostgreSQL or the embedded one. `close` removes it.
 */
export async function openTestDatabase(): Promise<TestDatabase> {
  return process.env.TEST_STORE === "postgres" ? openOnPostgres() : openOn({ kind: "memory" }, async () => undefined);
}

async function openOnPostgres(): Promise<TestDatabase> {
  const { url, drop } = await createPostgresDatabase();
  try {
    return await openOn({ kind: "postgres", url, poolSize: 10 }, drop);
  } catch (error) {
    await drop();
    throw error;
  }
}

async function openOn(location: DatabaseLocation, drop: () => Promise<void>): Promise<TestDatabase> {
  let received: string[] = [];
  const database = await openDatabase(location, (sql) => received.push(sql));
  const statements = () => {
    const statements = received;
    received = [];
    return statements;
  };
  const close = async () => {
    await database.close();
    await drop();
  };
  return { ...database, location, statements, close };
}

/** Creates an empty PostgreSQL database. @returns its URL, and a function that drops it with all connections to it. */
export async function createPostgresDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `ai_job_server_test_${randomUUID().replaceAll("-", "")}`;
  await asAdmin(`CREATE DATABASE ${name}`);
  const url = new URL(TEST_DATABASE_URL);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function asAdmin(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: TEST_DATABASE_URL });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
