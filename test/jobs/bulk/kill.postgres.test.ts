import type pg from "pg";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import { graphql } from "../../generated/index.ts";
import { queuedJobs, tally } from "../../support/bulk.ts";
import { createPostgresDatabase } from "../../support/database.ts";
import { engineOn, SOMEBODY } from "../../support/engine.ts";
import { anotherClient, connectTo } from "../../support/interrupt.ts";
import { expectSound, recordsOfAll } from "../../support/records.ts";
import { run } from "../../support/server.ts";
import { killSpawned, spawnServer } from "../../support/spawn-server.ts";

/** A server that is killed in the middle of a bulk action, and another one that goes on with it. */

const CANCEL = graphql(`
  mutation CancelOnServerThatIsKilled($filter: AiJobFilter!) {
    cancelAiJobs(input: { filter: $filter, reason: "enough", limit: 1000 }) {
      ... on CancelAiJobsPayload {
        bulkAction {
          finishedAt
        }
      }
      ... on Error {
        code
      }
    }
  }
`);

const COUNT = 230;
/** Any number: the triggers of this test wait for the lock of this name. */
const BARRIER = 77;
const LONG = { timeout: 90_000 };
const SERVER = "ai-job-server-that-is-killed";

let url: string;
let drop: () => Promise<void>;
let database: Readonly<Record<string, string>>;
let prisma: PrismaClient;
let admin: pg.Client;
/** Holds the servers where their triggers wait. */
let holder: pg.Client;

/** A database of its own for each test: a server that starts goes on with whatever was left half way. */
beforeEach(async () => {
  ({ url, env: database, drop } = await createPostgresDatabase());
});
afterEach(async () => {
  await killSpawned();
  await admin.end();
  await prisma.$disconnect();
  await drop();
});

async function startServer(name: string, env: Readonly<Record<string, string>> = {}) {
  const server = spawnServer({ ...database, PGAPPNAME: name, ...env });
  await server.url;
  return server;
}

/** Makes every write that a condition on NEW is true of wait for the holder. */
async function holdAt(table: string, condition: string): Promise<void> {
  await admin.query(`
    CREATE FUNCTION test_barrier() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF ${condition} THEN PERFORM pg_advisory_xact_lock_shared(${BARRIER}); END IF;
      RETURN NEW;
    END $$`);
  await admin.query(`
    CREATE TRIGGER zz_test_barrier BEFORE UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION test_barrier()`);
  holder = await connectTo(url);
  await holder.query("SELECT pg_advisory_lock($1)", [BARRIER]);
}

async function waitFor(condition: string, count: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await admin.query(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND ${condition}`,
        [SERVER],
      );
      expect(rows).toHaveLength(count);
    },
    { timeout: 10_000, interval: 20 },
  );
}

const filter = { protocolId: "killed" };

/** Jobs that a first server began to cancel, and was killed half way: how far it came, once PostgreSQL knows of it. */
async function killHalfWay(table: string, condition: string) {
  const first = await startServer(SERVER);
  prisma = anotherClient(url, 4);
  admin = await connectTo(url);
  const engine = engineOn({ prisma, kind: "postgres", close: async () => undefined });
  const jobIds = await queuedJobs(engine, 220, filter);
  jobIds.push(...(await queuedJobs(engine, COUNT - 220, { ...filter, priority: 7 })));
  await holdAt(table, condition);
  const answer = run(await first.url, CANCEL, { filter }).catch(() => "no answer");
  await waitFor("wait_event = 'advisory'", 1);
  await first.end("SIGKILL");
  expect(await answer).toBe("no answer");
  // PostgreSQL notices only when the statement is over that nobody listens, and rolls its transaction back.
  await holder.end();
  await waitFor("true", 0);
  const items = await prisma.bulkActionItem.findMany({ where: { NOT: { finishedAt: null } } });
  return { jobIds, items, records: await recordsOfAll(prisma, jobIds) };
}

type HalfWay = Awaited<ReturnType<typeof killHalfWay>>;

/** Whole batches were kept: what came of their items, and what was done to their jobs. */
async function expectKept({ jobIds, records }: HalfWay, kept: number): Promise<void> {
  const action = await prisma.bulkAction.findFirstOrThrow();
  expect(action.finishedAt).toBeNull();
  expect(await tally(prisma, action)).toEqual({ changed: kept, pending: COUNT - kept });
  const done = jobIds.filter((jobId) => records.get(jobId)?.job.state === "CANCELLED");
  expect(done).toEqual(jobIds.slice(0, kept));
}

/** Every job was cancelled once, by whom and for what the person said; what was kept is as it was. */
async function expectFinished(before: HalfWay, kept: number): Promise<void> {
  const isFinished = async () => (await prisma.bulkAction.findFirstOrThrow()).finishedAt !== null;
  await expect.poll(isFinished, { timeout: 30_000 }).toBe(true);
  const action = await prisma.bulkAction.findFirstOrThrow();
  expect(await tally(prisma, action)).toEqual({ changed: COUNT });
  expect(await prisma.bulkActionItem.findMany()).toEqual(expect.arrayContaining(before.items));
  const after = await recordsOfAll(prisma, before.jobIds);
  for (const records of after.values()) {
    expectSound(records);
    expect(records.job).toMatchObject({ state: "CANCELLED", version: 2 });
    expect(records.events.at(-1)).toMatchObject({ ...SOMEBODY, payload: { detail: "enough" } });
  }
  for (const jobId of before.jobIds.slice(0, kept)) expect(after.get(jobId)).toEqual(before.records.get(jobId));
}

test.each([
  ["while it writes what came of the second batch", "bulk_action_items", "NEW.position = 150", 100],
  ["while it cancels a job of the third batch", "ai_jobs", "NEW.state = 'cancelled' AND NEW.priority = 7", 200],
])("killed %s, it has kept whole batches, and the next server does the rest, each job once", LONG, async (...at) => {
  const [, table, condition, kept] = at;
  const before = await killHalfWay(table, condition);
  await expectKept(before, kept);
  const second = await startServer("another-server");
  await expectFinished(before, kept);
  expect((await second.end("SIGTERM")).code).toBe(0);
});

test("a server that runs already goes on with what another one has left", LONG, async () => {
  await startServer("another-server", { RECOVERY_INTERVAL_SECONDS: "0.5" });
  const before = await killHalfWay("bulk_action_items", "NEW.position = 150");
  // It waits until nobody is likely to be at it, and counts from the last that was heard.
  await vi.waitFor(async () => expect((await prisma.bulkAction.findFirstOrThrow()).finishedAt).not.toBeNull(), {
    timeout: 45_000,
    interval: 250,
  });
  await expectFinished(before, 100);
});
