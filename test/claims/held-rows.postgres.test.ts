import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { createBatchedReleases } from "../../src/runs/batched-release.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { expireLease } from "../support/jobs.ts";
import { recordsOf } from "../support/records.ts";
import { aCompletion, aHeartbeat } from "../support/reports.ts";

/** Rows that somebody else holds for a while, whoever that is and whatever for. */

let db: TestDatabase;
let engine: EngineContext;
let holder: pg.Client;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  holder = new pg.Client({ connectionString: db.url });
  await holder.connect();
});
afterEach(() => holder.query("ROLLBACK"));
afterAll(async () => {
  await holder.end();
  await db.close();
});

async function hold({ job }: Claim): Promise<void> {
  await holder.query("BEGIN");
  await holder.query("SELECT FROM ai_jobs WHERE job_id = $1 FOR UPDATE", [job.jobId]);
}

/** Lets the row go a while after the lease of another claim has ended, by the database's clock. */
async function letGoAfterLease({ run }: Claim): Promise<void> {
  await holder.query(
    `SELECT pg_sleep(greatest(0, extract(epoch FROM lease_expires_at - clock_timestamp())) + 0.2)
     FROM workflow_runs WHERE id = $1`,
    [run.id],
  );
  await holder.query("ROLLBACK");
}

async function endLeaseSoon({ run }: Claim): Promise<void> {
  await db.prisma.$executeRaw`
    UPDATE workflow_runs SET lease_expires_at = clock_timestamp() + interval '1 second' WHERE id = ${run.id}::uuid`;
}

test.each([
  [
    "completions",
    (claims: Claim[]) =>
      completeWorkflows(
        engine,
        claims.map((claim) => aCompletion(claim)),
      ).then(([first]) => first),
  ],
  [
    "heartbeats",
    (claims: Claim[]) =>
      heartbeatWorkflows(
        engine,
        claims.map((claim) => aHeartbeat(claim)),
      ).then(([first]) => first?.error),
  ],
])("%s that wait for the last row of their batch are judged by the clock after the wait", async (_, report) => {
  // Locked in the order of the jobs' ids, which is the order in which they were made.
  const ends = await started(engine);
  const lasts = await started(engine);
  await hold(lasts);
  await endLeaseSoon(ends);
  const answer = report([ends, lasts]);
  await letGoAfterLease(ends);
  expect(await answer).toMatchObject({ code: "LEASE_LOST" });
  expect((await recordsOf(db.prisma, ends.job.jobId)).job).toMatchObject({ state: "RUNNING", version: 2 });
});

test("completions that share a transaction do not wait for one whose job is held, and that one is done when it is free", async () => {
  const held = await started(engine);
  const free = [await started(engine), await started(engine), await started(engine)];
  await hold(held);
  const { completeWorkflows: complete } = createBatchedReleases(engine);
  const answers = [held, ...free].map((claim) => complete([aCompletion(claim)]));
  expect(await Promise.all(answers.slice(1))).toMatchObject(free.map(() => [{ job: { state: "COMPLETED" } }]));
  expect((await recordsOf(db.prisma, held.job.jobId)).job).toMatchObject({ state: "RUNNING", version: 2 });
  await holder.query("ROLLBACK");
  expect(await answers[0]).toMatchObject([{ job: { state: "COMPLETED", version: 3 } }]);
});

test("a sweep recovers the runs of jobs that nobody holds, waits for none, and takes the others the next time", async () => {
  const held = await started(engine);
  const free = await started(engine);
  for (const claim of [held, free]) await expireLease(db, claim);
  await hold(held);
  const stateOf = async ({ job }: Claim) => (await recordsOf(db.prisma, job.jobId)).job.state;
  await recoverStalledRuns(engine);
  expect([await stateOf(held), await stateOf(free)]).toEqual(["RUNNING", "QUEUED"]);
  await holder.query("ROLLBACK");
  await recoverStalledRuns(engine);
  expect(await stateOf(held)).toBe("QUEUED");
});
