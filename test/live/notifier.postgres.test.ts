import type pg from "pg";
import { afterAll, beforeAll } from "vitest";
import { postgresTransport } from "../../src/live/notifier-postgres.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { connectTo } from "../support/interrupt.ts";
import { hintsOver } from "../support/notifiers.ts";

let database: Awaited<ReturnType<typeof createPostgresDatabase>>;
let admin: pg.Client;
beforeAll(async () => {
  database = await createPostgresDatabase();
  admin = await connectTo(database.url);
});
afterAll(async () => {
  await admin.end();
  await database.drop();
});

const OURS = "FROM pg_stat_activity WHERE application_name = 'ai-job-server signals' AND datname = current_database()";

hintsOver("LISTEN and NOTIFY", () => ({
  url: database.url,
  transport: postgresTransport,
  breakAll: async () => {
    await admin.query(`SELECT pg_terminate_backend(pid, 5000) ${OURS}`);
  },
  connections: async () => (await admin.query(`SELECT 1 ${OURS}`)).rowCount ?? 0,
}));
