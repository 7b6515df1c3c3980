import type pg from "pg";
import { afterEach, test } from "vitest";
import { postgresTransport } from "../../src/live/notifier-postgres.ts";
import { openTestDatabase } from "../support/database.ts";
import { connectTo } from "../support/interrupt.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { stress } from "../support/stress.ts";

afterEach(killSpawned);

const BREAK = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE application_name = 'ai-job-server signals' AND datname = current_database()`;

test("without Redis: whatever breaks, every subscriber's record is the log", async () => {
  const db = await openTestDatabase();
  const url = db.url;
  const admin: pg.Client = await connectTo(url);
  await stress(db, {
    env: {},
    transport: postgresTransport(url),
    break: async () => {
      await admin.query(BREAK);
    },
  });
  await admin.end();
  await db.close();
}, 900_000);
