import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { listDuePartitions } from "../../src/claims/queue-partitions.ts";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { writeVersions } from "../../src/jobs/store.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { lockJobsOfRuns } from "../../src/runs/lock.ts";
import { NO_NEXT_PROGRESS, releaseLeasesCte, renewLeasesCte } from "../../src/runs/store.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, started } from "../support/engine.ts";
import { addManyJobs } from "../support/many-jobs.ts";

/** Statements are planned once, on tables that are small at first: what they read must not grow with the tables. */

let db: TestDatabase;
/** One connection, which keeps its plans. */
let database: Database;
beforeAll(async () => {
  db = await openTestDatabase();
  database = db.location.kind === "postgres" ? await openDatabase({ ...db.location, poolSize: 1 }) : db;
});
afterAll(async () => {
  if (database !== db) await database.close();
  await db.close();
});

const METRICS = { ...NO_METRICS, inputTokens: 1 };

async function reportOn({ run, leaseToken }: Claim): Promise<void> {
  const report = { workflowRunId: run.id, leaseToken, metrics: METRICS };
  await heartbeatWorkflows(engineOn(database), [{ ...report, leaseSeconds: 60 }]);
  const completion = { ...report, jobOutputs: null, writtenEntities: [], issues: [] };
  await completeWorkflows(engineOn(database), [completion]);
}

/** A transaction of the server's connection, which keeps its plans. */
function inServerTransaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
  return within(EVERYWHERE, () => serverSide(database).prisma.$transaction(work));
}

/** Rows that the session's statements have looked at, as far as it has not told the statistics yet. */
async function looked(tx: Transaction): Promise<number> {
  const [sum] = await tx.$queryRaw<{ rows: number }[]>`
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS rows FROM pg_stat_xact_user_tables`;
  return sum?.rows ?? 0;
}

test("a report looks at its own rows alone, though its statements were planned when there were hardly others", async () => {
  const [first, second] = [await started(engineOn(database)), await started(engineOn(database))];
  for (let more = 0; more < 3; more++) await started(engineOn(database));
  // As autovacuum does some time: from then on PostgreSQL knows how small the tables are, and reading them whole looks best.
  await db.prisma.$executeRaw`ANALYZE`;
  await reportOn(first);
  // On PostgreSQL by another connection: `session_replication_role` makes a session forget its plans.
  await addManyJobs(db.prisma, second.job.jobId);
  const { id } = second.run;
  const nobody = "to be rolled back";
  const seen: number[] = [];
  const reading = inServerTransaction(async (tx) => {
    const before = await looked(tx);
    const [reported] = [...(await lockJobsOfRuns(tx, [{ workflowRunId: id, reportId: null }])).values()];
    if (!reported) throw new Error("It is there.");
    const { job, now } = reported;
    const event = {
      type: "STATE_CHANGED",
      by: { actor: "AGENT", actorId: "w", principalId: null },
      payload: { reason: "test" },
    } as const;
    await writeVersions(
      tx,
      [{ job, set: {}, event }],
      renewLeasesCte([{ id, leaseExpiresAt: now, lastHeartbeat: now, ...NO_NEXT_PROGRESS }]),
    );
    await writeVersions(
      tx,
      [],
      releaseLeasesCte([{ id, state: "COMPLETED", errorMessage: null, finishedAt: now, endReason: "completed" }]),
    );
    seen.push((await looked(tx)) - before);
    throw new Error(nobody);
  });
  await expect(reading).rejects.toThrow(nobody);
  expect(seen[0]).toBeGreaterThan(3);
  expect(seen[0]).toBeLessThan(100);
});

test("whoever waits looks at one job of each place, however many are queued", async () => {
  await inServerTransaction(async (tx) => {
    const before = await looked(tx);
    expect(await listDuePartitions(tx, [{ workspaceId: null, jobKinds: null }])).toHaveLength(1);
    expect((await looked(tx)) - before).toBeLessThan(20);
  });
});
