import { afterAll, beforeAll, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { listDuePartitions } from "../../src/claims/queue-partitions.ts";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { writeVersions } from "../../src/jobs/store.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { lockJobsOfRuns } from "../../src/runs/lock.ts";
import { releaseLeasesCte, renewLeasesCte } from "../../src/runs/store.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";

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

/**
 * 3,000 jobs with a run each that goes on, and an open node of it, and as many queued ones, by plain SQL past every trigger.
 * On PostgreSQL by another connection, and without a temporary table: `session_replication_role` makes a session forget
 * its plans, a new schema for temporary tables makes all of them, and the plans of a small table are what is tested.
 */
async function addOthers(like: string): Promise<void> {
  await db.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    const others = await tx.$queryRaw<{ names: string }[]>`
      SELECT string_agg(quote_ident(column_name), ', ') AS names FROM information_schema.columns
      WHERE table_name = 'ai_jobs' AND table_schema = 'public' AND column_name NOT IN ('job_id', 'workflow_run_id', 'state')`;
    const names = others[0]?.names ?? "";
    await tx.$executeRawUnsafe(
      `WITH many AS MATERIALIZED (
         SELECT gen_random_uuid() AS job_id, gen_random_uuid() AS run_id, workspace_id AS of_workspace
         FROM generate_series(1, 3000), ai_jobs WHERE ai_jobs.job_id = $1::uuid),
       job AS (
         INSERT INTO ai_jobs (job_id, workflow_run_id, state, ${names})
         SELECT many.job_id, run_id, 'running'::"JobState", ${names} FROM many, ai_jobs j WHERE j.job_id = $1::uuid
         UNION ALL
         SELECT gen_random_uuid(), NULL, 'queued', ${names} FROM many, ai_jobs j WHERE j.job_id = $1::uuid),
       run AS (
         INSERT INTO workflow_runs (id, workspace_id, job_id, attempt, worker_id, lease_token, lease_expires_at)
         SELECT run_id, of_workspace, job_id, 1, 'w', sha256('token'), now() + interval '1 hour' FROM many)
       INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence)
       SELECT gen_random_uuid(), of_workspace, run_id, 'read', 'tool', 1 FROM many`,
      like,
    );
  });
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
  await database.prisma.$executeRaw`ANALYZE`;
  await reportOn(first);
  await addOthers(second.job.jobId);
  const { id } = second.run;
  const nobody = "to be rolled back";
  const seen: number[] = [];
  const reading = database.prisma.$transaction(async (tx) => {
    const before = await looked(tx);
    const [reported] = [...(await lockJobsOfRuns(tx, [{ workflowRunId: id, reportId: null }])).values()];
    if (!reported) throw new Error("It is there.");
    const { job, now } = reported;
    const event = { type: "STATE_CHANGED", by: { actor: "AGENT", actorId: "w" }, payload: { reason: "test" } } as const;
    await writeVersions(
      tx,
      [{ job, set: {}, event }],
      renewLeasesCte([{ id, leaseExpiresAt: now, lastHeartbeat: now }]),
    );
    await writeVersions(tx, [], releaseLeasesCte([{ id, state: "COMPLETED", errorMessage: null, finishedAt: now }]));
    seen.push((await looked(tx)) - before);
    throw new Error(nobody);
  });
  await expect(reading).rejects.toThrow(nobody);
  expect(seen[0]).toBeGreaterThan(3);
  expect(seen[0]).toBeLessThan(100);
});

test("whoever waits looks at one job of each place, however many are queued", async () => {
  await database.prisma.$transaction(async (tx) => {
    const before = await looked(tx);
    expect(await listDuePartitions(tx, [{ workspaceId: null, jobKinds: null }])).toHaveLength(1);
    expect((await looked(tx)) - before).toBeLessThan(20);
  });
});
