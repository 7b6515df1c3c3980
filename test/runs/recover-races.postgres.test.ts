import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { recoverStalledRuns } from "../../src/runs/recover.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";
import { expectSound, recordsOf } from "../support/records.ts";
import { aCompletion, aHeartbeat, reportOutcome } from "../support/reports.ts";

/** A worker that reports in the moment in which its lease runs out, and a sweep for lost leases: never both. */

const ROUNDS = 80;

let db: TestDatabase;
let other: PrismaClient;
let worker: EngineContext;
let sweeper: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 4);
  worker = engineOn(db);
  sweeper = engineOn({ ...db, prisma: other });
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

/** Lets a lease run out in so many milliseconds, by the database's clock. */
async function endLeaseIn(milliseconds: number, { run }: Claim): Promise<void> {
  await db.prisma.$executeRaw`
    UPDATE workflow_runs SET lease_expires_at = clock_timestamp() + ${milliseconds} * interval '1 millisecond'
    WHERE id = ${run.id}::uuid`;
}

/** Report and sweep at once, again and again, while the lease is running out. */
async function race(
  report: (claim: Claim) => Promise<string>,
  /** How the job then stands, in words, by what came of it: the worker's report, the sweep, or neither of them. */
  outcomes: { readonly reported: string; readonly swept: string; readonly neither: string },
): Promise<void> {
  const counts = { reported: 0, swept: 0, neither: 0 };
  // Both must really happen: on a slow machine it takes more rounds until each has come first.
  const isOver = (round: number) =>
    round >= ROUNDS && (Math.min(counts.reported, counts.swept) > 0 || round >= 10 * ROUNDS);
  for (let round = 0; !isOver(round); round++) {
    const claim = await started(worker);
    await endLeaseIn((round % 12) * (1 + Math.floor(round / 12)), claim);
    const late = (when: boolean) => new Promise((resolve) => setTimeout(resolve, when ? round % 5 : 0));
    const [answer, recovered] = await Promise.all([
      late(round % 2 === 0).then(() => report(claim)),
      late(round % 2 === 1).then(() => recoverStalledRuns(sweeper)),
    ]);
    const outcome = answer === "done" ? "reported" : recovered === 1 ? "swept" : "neither";
    counts[outcome] += 1;
    expect(answer).toBe(outcome === "reported" ? "done" : "LEASE_LOST STOP_LEASE_LOST");
    expect(recovered).toBe(outcome === "swept" ? 1 : 0);
    const after = await recordsOf(db.prisma, claim.job.jobId);
    expectSound(after);
    const { job, runs } = after;
    expect(`${job.state} ${job.version} ${job.totalTokens} ${runs.map(({ state }) => state).join()}`).toBe(
      outcomes[outcome],
    );
    // What the sweep came too early for is the next one's; nothing else is left over.
    expect(await recoverStalledRuns(sweeper)).toBe(outcome === "neither" ? 1 : 0);
  }
  // Both really happened; a test in which one of them always wins shows no race.
  expect(Math.min(counts.reported, counts.swept)).toBeGreaterThan(0);
}

const METRICS = { ...NO_METRICS, inputTokens: 3 };
const SWEPT = { swept: "QUEUED 4 0 STALLED", neither: "RUNNING 2 0 RUNNING" };

test("a completion and a sweep: the job has completed, or its run was recovered", { timeout: 240_000 }, async () => {
  await race(
    async (claim) => reportOutcome((await completeWorkflows(worker, [aCompletion(claim, { metrics: METRICS })]))[0]),
    {
      reported: "COMPLETED 3 3 COMPLETED",
      ...SWEPT,
    },
  );
});

test("a heartbeat and a sweep: the lease was renewed in time, or is lost for good", { timeout: 240_000 }, async () => {
  await race(
    async (claim) =>
      reportOutcome((await heartbeatWorkflows(worker, [aHeartbeat(claim, { metrics: METRICS })]))[0]?.error),
    { reported: "RUNNING 3 3 RUNNING", ...SWEPT },
  );
});
