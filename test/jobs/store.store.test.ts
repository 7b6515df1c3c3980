import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import type { EngineContext } from "../../src/engine.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { writeVersions } from "../../src/jobs/store.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, submitted } from "../support/engine.ts";
import { expectSound, recordsOf } from "../support/records.ts";

/** What is answered of a change is what the database has. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterEach(async () => {
  await db.prisma.$executeRaw`DROP TRIGGER IF EXISTS by_a_test ON ai_jobs`;
});
afterAll(() => db.close());

/** Has the database store something else than it is sent. */
async function storeOtherwise(assignment: string): Promise<void> {
  await db.prisma.$executeRawUnsafe(`
    CREATE OR REPLACE FUNCTION by_a_test() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN ${assignment}; RETURN NEW; END $$`);
  await db.prisma.$executeRaw`
    CREATE TRIGGER by_a_test BEFORE UPDATE ON ai_jobs FOR EACH ROW EXECUTE FUNCTION by_a_test()`;
}

/** Writes a version of each job that says its place in the list, in one statement. */
function write(jobIds: readonly string[]) {
  return inTransaction(engine, EVERYWHERE, async (tx) => {
    const jobs = await lockJobs(tx, Prisma.sql`job_id = ANY(${jobIds}::uuid[])`);
    const changes = jobIds.flatMap((jobId, place) => {
      const job = jobs.get(jobId);
      const payload = { delta: place };
      const set = { statusReason: `place ${place}`, durationMs: BigInt(place + 1) };
      return job ? [{ job, set, event: { type: "METRICS_RECORDED", by: SYSTEM_ACTOR, payload } as const }] : [];
    });
    return writeVersions(tx, changes);
  });
}

async function jobs(count: number): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let at = 0; at < count; at++) ids.push((await submitted(engine)).jobId);
  return ids;
}

test("jobs are answered in the order of the changes, each as it is stored", async () => {
  const jobIds = (await jobs(5)).toReversed();
  const written = await write(jobIds);
  expect(written.map(({ job }) => job.jobId)).toEqual(jobIds);
  for (const [place, { job, event }] of written.entries()) {
    const stored = await recordsOf(db.prisma, job.jobId);
    expectSound(stored);
    expect(job).toMatchObject({ ...stored.job, statusReason: `place ${place}`, durationMs: BigInt(place + 1) });
    expect(event).toEqual(stored.events.at(-1));
  }
});

test.each([
  ["the reason", "NEW.status_reason := 'otherwise'"],
  ["a moment", "NEW.run_after := now()"],
  ["a list", "NEW.issues := '{one more}'"],
  ["a metric", "NEW.duration_ms := NEW.duration_ms + 1"],
  ["the state", "NEW.state := 'failed'; NEW.ended_at := now()"],
  ["the time", "NEW.updated_at := NEW.updated_at + interval '1 second'"],
])("what is answered is stored as it was sent, or nothing is: %s", async (_, assignment) => {
  const [jobId = ""] = await jobs(1);
  await storeOtherwise(assignment);
  await expect(write([jobId])).rejects.toThrow("is stored otherwise than its event says");
  expect((await recordsOf(db.prisma, jobId)).job.version).toBe(1);
});
