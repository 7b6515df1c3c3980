import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { createPostgresDatabase, type PostgresDatabase } from "../../test/support/database.ts";

/**
 * Does `work` with a new, empty database, a connection to it, and the environment of a server whose role row-level security holds for; drops the database afterwards, also after an error.
 */
export async function withDatabase(
  work: (url: string, sql: pg.Client, env: PostgresDatabase["env"]) => Promise<void>,
): Promise<void> {
  const { url, env, drop } = await createPostgresDatabase();
  try {
    const sql = new pg.Client({ connectionString: url });
    await sql.connect();
    try {
      await work(url, sql, env);
    } finally {
      await sql.end();
    }
  } finally {
    await drop();
  }
}

/** Runs VACUUM ANALYZE and CHECKPOINT, so that neither happens during a measurement. */
export async function settle(sql: pg.Client): Promise<void> {
  await sql.query("VACUUM ANALYZE");
  await sql.query("CHECKPOINT");
  await sleep(500);
}
