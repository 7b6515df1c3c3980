import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { JobKind } from "../../src/db/generated/client/enums.ts";
import type { EngineContext } from "../../src/engine.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { readQueue } from "../../src/metrics/queue.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";

/** The queue as monitoring sees it, over all workspaces. */

let database: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  database = await openTestDatabase();
  engine = engineOn(database);
});
afterAll(() => database.close());

/** A job that has waited for so long. */
async function waiting(jobKind: JobKind, seconds: number, more: Parameters<typeof aSubmit>[0] = {}): Promise<void> {
  const { jobId } = ok(await submitAiJob(engine, randomUUID(), SOMEBODY, aSubmit({ jobKind, ...more }))).job;
  await database.prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.$executeRaw`UPDATE ai_jobs SET updated_at = now() - make_interval(secs => ${seconds}::float8),
      run_after = run_after - make_interval(secs => ${seconds}::float8) WHERE job_id = ${jobId}::uuid`;
  });
}

async function queueOf(kind: JobKind) {
  const queue = (await readQueue(database.prisma)).find(({ jobKind }) => jobKind === kind);
  if (!queue) throw new Error("Each kind has a queue.");
  return queue;
}

/** Totals are what is below the watermark, which another transaction may hold back for a while. */
async function untilQueued(kind: JobKind, count: number): Promise<void> {
  const isCounted = async () => {
    await aggregateTotals(database.prisma);
    return (await queueOf(kind)).queued === count;
  };
  await vi.waitUntil(isCounted, { timeout: 30_000 });
}

test("a kind of which nothing is queued has an empty queue", async () => {
  expect(await queueOf("ASR_TRANSCRIBE")).toEqual({ jobKind: "ASR_TRANSCRIBE", queued: 0, oldestDueSeconds: 0 });
});

test("the longest-waiting job counts, whatever its priority and its workspace", async () => {
  for (const [seconds, priority] of [
    [5, 50],
    [500, -50],
    [50, 0],
  ] as const)
    await waiting("DOC_EDIT", seconds, { priority });
  await waiting("DOC_EDIT", 700, { priority: 3 });
  await untilQueued("DOC_EDIT", 4);
  const { oldestDueSeconds } = await queueOf("DOC_EDIT");
  expect(oldestDueSeconds).toBeGreaterThanOrEqual(700);
  expect(oldestDueSeconds).toBeLessThan(760);
});

test("a job that waits for a time is due from then on, and not before", async () => {
  const inAMinute = () => new Date(Date.now() + 60_000);
  await waiting("CANVAS_CLUSTER", 0, { runAfter: inAMinute() });
  await untilQueued("CANVAS_CLUSTER", 1);
  expect(await queueOf("CANVAS_CLUSTER")).toMatchObject({ queued: 1, oldestDueSeconds: 0 });
  await waiting("CANVAS_CLUSTER", 360, { runAfter: inAMinute() });
  const { oldestDueSeconds } = await queueOf("CANVAS_CLUSTER");
  expect(oldestDueSeconds).toBeGreaterThanOrEqual(299);
  expect(oldestDueSeconds).toBeLessThan(360);
});
