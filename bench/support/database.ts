import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { createPostgresDatabase } from "../../test/support/database.ts";

/**
 * Does `work` with a new, empty database and a connection to it; drops the database afterwards, also after an error.
 */
export async function withDatabase(work: (url: string, sql: pg.Client) => Promise<void>): Promise<void> {
  const { url, drop } = await createPostgresDatabase();
  try {
    const sql = new pg.Client({ connectionString: url });
    await sql.connect();
    try {
      await work(url, sql);
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
