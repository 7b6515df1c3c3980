import type pg from "pg";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PrismaClient } from "../src/db/generated/client/client.ts";
import { heartbeatWorkflows } from "../src/runs/heartbeat.ts";
import { addQueuedJobs, leftBehind, tally } from "./support/bulk.ts";
import { createPostgresDatabase } from "./support/database.ts";
import { engineOn, started } from "./support/engine.ts";
import { anotherClient, connectTo } from "./support/interrupt.ts";
import { aHeartbeat } from "./support/reports.ts";
import { killSpawned, spawnServer } from "./support/spawn-server.ts";

/** What a server does beside its requests, in a process of its own. */

const SERVER = "ai-job-server-that-sweeps";

let url: string;
let drop: () => Promise<void>;
let database: Readonly<Record<string, string>>;
let prisma: PrismaClient;
let admin: pg.Client;
beforeEach(async () => {
  ({ url, env: database, drop } = await createPostgresDatabase());
});
afterEach(async () => {
  await killSpawned();
  await admin.end();
  await prisma.$disconnect();
  await drop();
});

/** Makes every statement that updates this table take so long. */
async function slowDown(table: string, seconds: number): Promise<void> {
  await admin.query(`
    CREATE FUNCTION slow_${table}() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN PERFORM pg_sleep(${seconds}); RETURN NULL; END'`);
  await admin.query(`CREATE TRIGGER zz_slow AFTER UPDATE ON ${table} EXECUTE FUNCTION slow_${table}()`);
}

async function sleepers(): Promise<number> {
  const { rowCount } = await admin.query(
    "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'",
    [SERVER],
  );
  return rowCount ?? 0;
}

test("a server that is in the middle of an aggregation and a sweep stops after their batch, within 10 seconds", async () => {
  const server = spawnServer({ ...database, PGAPPNAME: SERVER, RECOVERY_INTERVAL_SECONDS: "0.2" });
  await server.url;
  prisma = anotherClient(url, 2);
  admin = await connectTo(url);
  await slowDown("totals_position", 1.5);
  await slowDown("bulk_action_items", 1.5);
  await addQueuedJobs(prisma, 15_000, "many");
  const id = await leftBehind(prisma, { filter: { protocolId: "many" } });
  // Old enough for a sweep to go on with it.
  await admin.query("ALTER TABLE bulk_actions DISABLE TRIGGER USER");
  await admin.query("UPDATE bulk_actions SET created_at = created_at - interval '1 minute'");
  await admin.query("ALTER TABLE bulk_actions ENABLE TRIGGER USER");
  await vi.waitUntil(async () => (await sleepers()) === 2, { timeout: 20_000, interval: 20 });

  const since = performance.now();
  expect(await server.end("SIGTERM")).toMatchObject({ code: 0, signal: null, stderr: "" });
  expect(performance.now() - since).toBeLessThan(10_000);

  const { pending = 0, changed = 0 } = await tally(prisma, { id });
  expect({ pending: pending > 0, changed: changed % 100 }).toEqual({ pending: true, changed: 0 });
  const { rowCount } = await admin.query(
    `SELECT FROM flight_recorder_events e, totals_position p
     WHERE (e.order_xid, e.job_id, e.version) > (p.order_xid, p.job_id, p.version) LIMIT 1`,
  );
  expect(rowCount).toBe(1);
}, 90_000);

test("a server records the progress that another one left to wait", async () => {
  const server = spawnServer({ ...database, PGAPPNAME: SERVER });
  await server.url;
  prisma = anotherClient(url, 2);
  admin = await connectTo(url);
  const engine = engineOn({ kind: "postgres", prisma, close: () => Promise.resolve() });
  const held = await started(engine);
  for (const fraction of [0.25, 0.5])
    await heartbeatWorkflows(engine, [aHeartbeat(held, { progress: { fraction, message: null } })]);
  const { jobId } = held.job;
  const look = () => prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
  await vi.waitUntil(async () => (await look()).progressFraction === 0.5, { timeout: 30_000, interval: 50 });
  expect(await server.end("SIGTERM")).toMatchObject({ code: 0, stderr: "" });
}, 90_000);
