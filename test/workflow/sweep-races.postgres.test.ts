import { afterAll, beforeAll, expect, test } from "vitest";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import type { PrismaClient } from "../../src/storage/generated/client/client.ts";
import { completeWorkflows } from "../../src/workflow/complete.ts";
import type { Engine } from "../../src/workflow/engine.ts";
import { heartbeatWorkflows } from "../../src/workflow/heartbeat.ts";
import type { Claim } from "../../src/workflow/leasing.ts";
import { recoverStalledRuns } from "../../src/workflow/recovery.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aCompletion, aHeartbeat, told } from "../support/reports.ts";

/** A worker that reports in the moment in which its lease runs out, and a sweep for lost leases: never both. */

const ROUNDS = 80;

let db: TestDatabase;
let other: PrismaClient;
let worker: Engine;
let sweeper: Engine;
beforeAll(async () => {
  db = await openTestDatabase();
  if (db.location.kind !== "postgres") throw new Error("This file is about PostgreSQL.");
  other = anotherClient(db.location.url, 4);
  worker = engineOn(db.storage);
  sweeper = engineOn({ ...db.storage, prisma: other });
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

/** Lets a lease run out in so many milliseconds, by the database's clock. */
async function endLeaseIn(milliseconds: number, { run }: Claim): Promise<void> {
  await db.storage.prisma.$executeRaw`
    UPDATE workflow_runs SET lease_expires_at = clock_timestamp() + ${milliseconds} * interval '1 millisecond'
    WHERE id = ${run.id}::uuid`;
}

interface Round {
  readonly answer: string;
  readonly recovered: number;
  readonly claim: Claim;
}

/** Report and sweep at once, again and again, while the lease is running out. */
async function race(report: (claim: Claim) => Promise<string>, judge: (round: Round) => Promise<void>) {
  const outcomes = { reported: 0, swept: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const claim = await started(worker);
    await endLeaseIn(round % 12, claim);
    const late = (when: boolean) => new Promise((resolve) => setTimeout(resolve, when ? round % 5 : 0));
    const [answer, recovered] = await Promise.all([
      late(round % 2 === 0).then(() => report(claim)),
      late(round % 2 === 1).then(() => recoverStalledRuns(sweeper)),
    ]);
    expect(["done", "LEASE_LOST STOP_LEASE_LOST"]).toContain(answer);
    expect([0, 1]).toContain(recovered);
    await judge({ answer, recovered, claim });
    outcomes.reported += answer === "done" ? 1 : 0;
    outcomes.swept += recovered;
    // What the sweep came too early for is the next one's; nothing else is left over.
    expect(await recoverStalledRuns(sweeper)).toBe(answer !== "done" && recovered === 0 ? 1 : 0);
  }
  expect(outcomes.reported).toBeGreaterThan(0);
  expect(outcomes.swept).toBeGreaterThan(0);
}

test("a completion and a sweep: the job has completed, or its run was recovered", { timeout: 60_000 }, async () => {
  const complete = async (claim: Claim) => told((await completeWorkflows(worker, [aCompletion(claim)]))[0]);
  await race(complete, async ({ answer, recovered, claim }) => {
    const after = await recordsOf(db.storage.prisma, claim.job.jobId);
    expectSound(after);
    const completed = { recovered: 0, job: { state: "COMPLETED", version: 3 }, runs: [{ state: "COMPLETED" }] };
    const swept = {
      recovered: 1,
      job: { state: "QUEUED", version: 4, jobOutputs: null },
      runs: [{ state: "STALLED" }],
    };
    const neither = { recovered: 0, job: { state: "RUNNING", version: 2 }, runs: [{ state: "RUNNING" }] };
    const late = recovered === 1 ? swept : neither;
    expect({ recovered, ...after }).toMatchObject(answer === "done" ? completed : late);
  });
});

test("a heartbeat and a sweep: the lease was renewed in time, or is lost for good", { timeout: 60_000 }, async () => {
  const beat = async (claim: Claim) => {
    const metrics = { ...NO_METRICS, inputTokens: 3 };
    return told((await heartbeatWorkflows(worker, [aHeartbeat(claim, { metrics })]))[0]?.error);
  };
  await race(beat, async ({ answer, recovered, claim }) => {
    const after = await recordsOf(db.storage.prisma, claim.job.jobId);
    expectSound(after);
    expect(answer === "done" && recovered > 0).toBe(false);
    const state = answer === "done" || recovered === 0 ? "RUNNING" : "QUEUED";
    expect(after.job).toMatchObject({ state, totalTokens: answer === "done" ? 3n : 0n });
  });
});
