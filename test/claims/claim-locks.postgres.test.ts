import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { selectAndLockJobs } from "../../src/claims/claim-query.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { NIL_UUID } from "../../src/uuid.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { anotherClient } from "../support/interrupt.ts";

/** What a claim locks while it is under way: what it takes, and nothing else. */

let db: TestDatabase;
let other: PrismaClient;
let workspaces: readonly string[];
beforeAll(async () => {
  db = await openTestDatabase();
  other = anotherClient(db.url, 4);
  const engine = engineOn(db);
  workspaces = Array.from({ length: 5 }, () => randomUUID()).toSorted();
  for (const workspaceId of workspaces) {
    for (let at = 0; at < 6; at++) {
      // Half of them had to wait for their moment.
      const runAfter = at % 2 === 0 ? null : new Date(Date.now() - 1000);
      ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit({ runAfter })));
    }
  }
});
afterAll(async () => {
  await other.$disconnect();
  await db.close();
});

const JOBS = 30;

function lock(tx: Transaction, limit: number) {
  return selectAndLockJobs(tx, { workspaceId: null, jobKinds: null, limit, workerIds: ["worker-1"] }, NIL_UUID);
}

/** Jobs that nobody holds. */
async function free(): Promise<string[]> {
  const rows = await other.$queryRaw<{ id: string }[]>`
    SELECT job_id AS id FROM ai_jobs WHERE state = 'queued' FOR NO KEY UPDATE SKIP LOCKED`;
  return rows.map(({ id }) => id);
}

test.each([1, 7, 29, 30, 100])("a claim of %i jobs holds no others", async (limit) => {
  await db.prisma.$transaction(async (tx) => {
    const taken = (await lock(tx, limit)).map(({ jobId }) => jobId);
    expect(new Set(taken).size).toBe(Math.min(limit, JOBS));
    const left = await free();
    expect(left).toHaveLength(JOBS - taken.length);
    expect(left.filter((jobId) => taken.includes(jobId))).toEqual([]);
  });
});

test("a claim that plans what another one holds goes on to what nobody holds, and waits for nothing", async () => {
  await other.$transaction(async (first) => {
    const held = (await lock(first, 28)).map(({ jobId }) => jobId);
    await db.prisma.$transaction(async (second) => {
      await second.$executeRaw`SET LOCAL lock_timeout = '1ms'`;
      const taken = (await lock(second, 5)).map(({ jobId }) => jobId);
      expect(taken).toHaveLength(2);
      expect(taken.filter((jobId) => held.includes(jobId))).toEqual([]);
    });
  });
});
