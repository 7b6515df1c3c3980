import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startWorkflow } from "../../src/claims/start.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import { heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { readTotals } from "../../src/totals/read.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { anotherClient, connectTo } from "../support/interrupt.ts";
import { FOUND } from "../support/jobs.ts";
import { failWorkflow } from "../support/reports.ts";
import { aggregateAll, aggregatedJobs, counted, expectExact } from "../support/totals.ts";

/** Totals while others write: every read is held against a count of all jobs in the same snapshot. */

/** While another test file holds a transaction open, aggregations wait for it. */
const LONG = { timeout: 90_000 };

let db: TestDatabase;
let url: string;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  url = db.url;
  engine = engineOn(db);
});
afterAll(() => db.close());

const KINDS = ["DOC_EDIT", "SHEET_TRANSFORM", "TERMINAL_EXEC"] as const;
const pick = <T>(among: readonly [T, ...T[]]): T => among[Math.floor(Math.random() * among.length)] ?? among[0];

/** One job from its submit to some end, or to where somebody left it. */
async function oneLife(workspaceId: string): Promise<void> {
  const { job } = ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ jobKind: pick(KINDS) })));
  const { jobId } = job;
  if (Math.random() < 0.2) return;
  const claim = ok(await startWorkflow(engine, workspaceId, { jobId, workerId: "w", leaseSeconds: 60 }));
  if (!("leaseToken" in claim)) throw new Error("The job was poisoned instead of started.");
  const held = { workflowRunId: claim.run.id, leaseToken: claim.leaseToken };
  const metrics = { ...NO_METRICS, inputTokens: Math.floor(Math.random() * 1000), durationMs: 10 };
  const beat = () => heartbeatWorkflows(engine, [{ ...held, leaseSeconds: 60, metrics }]);
  await beat();
  await beat();
  const report = { jobOutputs: null, writtenEntities: [], issues: [], metrics };
  await pick<() => Promise<unknown>>([
    () => completeWorkflows(engine, [{ ...held, ...report }]),
    () => failWorkflow(engine, { ...held, errorMessage: "no", retryable: Math.random() < 0.5, metrics }),
    () => cancelAiJob(engine, workspaceId, SOMEBODY, { jobId, reason: "enough" }),
    () => poisonJob(engine, workspaceId, jobId, FOUND),
    beat,
  ])();
}

/** A transaction with an id that is open for a while: nothing above it can be aggregated meanwhile. */
async function holdBack(milliseconds: number): Promise<void> {
  const client = await connectTo(url);
  await client.query("BEGIN");
  await client.query("SELECT pg_current_xact_id()");
  await sleep(milliseconds);
  await client.query("COMMIT");
  await client.end();
}

/** Outside of a transaction, a read is of one moment as well: no job is missed or counted twice by an aggregation meanwhile. */
async function expectOneMoment(prisma: PrismaClient, workspaceId: string): Promise<void> {
  const min = await prisma.aiJob.count({ where: { workspaceId } });
  const totals = await readTotals(prisma, workspaceId, {});
  const max = await prisma.aiJob.count({ where: { workspaceId } });
  const jobs = Number(totals.reduce((sum, total) => sum + total.jobs, 0n));
  expect({ min, jobs, max }).toEqual({ min: Math.min(min, jobs), jobs, max: Math.max(jobs, max) });
}

test("they are exact at every moment, whoever writes, aggregates, or holds a transaction open", LONG, async () => {
  const workspaceId = randomUUID();
  const [folder, other, reader] = [anotherClient(url, 1), anotherClient(url, 1), anotherClient(url, 1)];
  let writing = true;
  let lives = 0;
  let reads = 0;
  let aggregates = 0;
  // Otherwise this would prove nothing: there were reads, some of them of what was aggregated in part. An open transaction of
  // another database of the same PostgreSQL may keep everything from being aggregated for seconds.
  const provesSomething = () => lives >= 120 && reads > 10 && aggregates > 3;
  const writers = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!provesSomething()) {
        lives++;
        await oneLife(workspaceId);
        if (lives >= 120) await sleep(50);
      }
    }),
  ).finally(() => {
    writing = false;
  });
  const whileWriting = async (work: () => Promise<unknown>) => {
    while (writing) await work();
  };
  const aggregate = async (prisma: PrismaClient) => {
    if ((await aggregateTotals(prisma, 10)) > 0) aggregates++;
  };
  await Promise.all([
    writers,
    whileWriting(() => aggregate(folder)),
    whileWriting(() => aggregate(other)),
    whileWriting(() => holdBack(Math.random() * 60)),
    whileWriting(async () => {
      await expectExact(reader, workspaceId);
      await expectOneMoment(reader, workspaceId);
      reads++;
    }),
  ]);

  await aggregateAll(db.prisma);
  const totals = await expectExact(reader, workspaceId);
  expect(await aggregatedJobs(reader, workspaceId)).toBe(lives);
  expect(totals.reduce((jobs, total) => jobs + total.jobs, 0n)).toBe(BigInt(lives));
  await Promise.all([folder, other, reader].map((client) => client.$disconnect()));
});

test("an old transaction holds the aggregation back, not the totals", async () => {
  const workspaceId = randomUUID();
  const client = await connectTo(url);
  await client.query("BEGIN");
  await client.query("SELECT pg_current_xact_id()");
  for (let job = 0; job < 3; job++) await oneLife(workspaceId);
  await aggregateTotals(db.prisma);
  expect(await aggregatedJobs(db.prisma, workspaceId)).toBe(0);
  const before = await expectExact(db.prisma, workspaceId);
  expect(before.reduce((jobs, total) => jobs + total.jobs, 0n)).toBe(3n);
  await client.query("COMMIT");
  await client.end();
  await aggregateAll(db.prisma);
  expect(await aggregatedJobs(db.prisma, workspaceId)).toBe(3);
  expect(await expectExact(db.prisma, workspaceId)).toEqual(before);
});

test("a change that commits after later ones were aggregated is counted, and once", async () => {
  const workspaceId = randomUUID();
  const client = await connectTo(url);
  await client.query("BEGIN");
  const { rows } = await client.query<{ xid: string }>("SELECT pg_current_xact_id()::text AS xid");
  // Higher ids, committed first.
  for (let job = 0; job < 3; job++) await oneLife(workspaceId);
  await aggregateTotals(db.prisma);
  const { order_xid: first } = (await client.query<{ order_xid: string }>(INSERT_LATE, [randomUUID(), workspaceId]))
    .rows[0] ?? { order_xid: "" };
  expect(first).toBe(rows[0]?.xid);
  await aggregateTotals(db.prisma);
  await client.query("COMMIT");
  await client.end();
  await aggregateTotals(db.prisma);
  await expectExact(db.prisma, workspaceId);
  await aggregateAll(db.prisma);
  await expectExact(db.prisma, workspaceId);
  expect(await aggregatedJobs(db.prisma, workspaceId)).toBe(4);
});

/** A job with its event, by plain SQL: the hashes are not looked into by the database. */
const INSERT_LATE = `
  WITH job AS (
    INSERT INTO ai_jobs (job_id, workspace_id, trace_id, job_kind, status_reason, protocol_id, profile_id,
      capability_profile_id, submit_hash, submitted_by, order_xid, chain_hash)
    VALUES ($1, $2, $1, 'doc_edit', 'submitted', 'late', 'default', 'default', repeat('a', 64), 'late', current_order_xid(),
      repeat('b', 64))
    RETURNING *
  )
  INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor, actor_id,
    principal_id, state, recorded_at, prev_hash, hash)
  SELECT job_id, job_id, 1, order_xid, workspace_id, trace_id, 'job_submitted', 'human', 'late', 'late', state, created_at,
    repeat('0', 64), chain_hash
  FROM job RETURNING order_xid`;

test("of two aggregations at once one works, and the other leaves without waiting", async () => {
  const workspaceId = randomUUID();
  await oneLife(workspaceId);
  const client = await connectTo(url);
  await client.query("BEGIN");
  await client.query("SELECT * FROM totals_position FOR UPDATE");
  expect(await aggregateTotals(db.prisma)).toBe(0);
  expect(await aggregatedJobs(db.prisma, workspaceId)).toBe(0);
  await expectExact(db.prisma, workspaceId);
  await client.query("COMMIT");
  await client.end();
  await aggregateAll(db.prisma);
  expect(await aggregatedJobs(db.prisma, workspaceId)).toBe(1);
  expect(await counted(db.prisma, workspaceId)).toHaveLength(1);
});
