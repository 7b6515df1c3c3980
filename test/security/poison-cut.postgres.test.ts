import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { openDatabase } from "../../src/db/open.ts";
import { TryAgainError } from "../../src/errors.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { engineOn, WORKSPACE } from "../support/engine.ts";
import { FAULT_POINTS, type FaultPoint, withFault, withFaultAtLock } from "../support/faults.ts";
import {
  anotherClient,
  connectTo,
  interruptibleClient,
  type Proxy,
  startProxy,
  terminate,
} from "../support/interrupt.ts";
import { aBusyJob, FOUND } from "../support/jobs.ts";
import { expectAllOrNothing, expectPoisoned, recordsOf, violationsIn } from "../support/records.ts";

/** Poisoning is all or nothing when its connection is cut, by PostgreSQL or by the network, at every moment of it. */

let url: string;
let drop: () => Promise<void>;
/** The product's, which is cut; and the test's own, which stays. */
let database: Database;
let watch: PrismaClient;
let admin: pg.Client;
let proxy: Proxy;

beforeAll(async () => {
  ({ url, drop } = await createPostgresDatabase());
  database = await openDatabase({ kind: "postgres", url, poolSize: 4 });
  watch = anotherClient(url, 2);
  admin = await connectTo(url);
  proxy = await startProxy(url);
});
afterAll(async () => {
  await proxy.close();
  await admin.end();
  await database.close();
  await watch.$disconnect();
  await drop();
});

async function aJob() {
  const { jobId } = (await aBusyJob(engineOn({ ...database, prisma: watch }))).job;
  return { jobId, before: await recordsOf(watch, jobId) };
}

/** How many statements wait for a row that a transaction holds. */
async function waitingForLocks(): Promise<number> {
  const waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
  return (await admin.query(waiting)).rows.length;
}

/** What a caller was given: the name of what was thrown, or the action. */
async function answer(report: ReturnType<typeof poisonJob>): Promise<string> {
  try {
    return (await report).action;
  } catch (error) {
    return error instanceof TryAgainError ? "TRY_AGAIN" : "thrown";
  }
}

describe("PostgreSQL ends the connection", () => {
  const itself = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10)";
  const places: readonly { at: string; told: string; cut: <T>(work: () => Promise<T>) => Promise<T> }[] = [
    {
      at: "in the statement that locks the job",
      told: "TRY_AGAIN",
      cut: (work) => withFaultAtLock({ prisma: watch }, itself, work),
    },
    ...FAULT_POINTS.map((point: FaultPoint) => ({
      at: point.at,
      // Whoever loses the connection at COMMIT cannot know whether it was kept: that is no TRY_AGAIN, which says no.
      told: point.when === "COMMIT" ? "thrown" : "TRY_AGAIN",
      cut: <T>(work: () => Promise<T>) => withFault({ prisma: watch }, point, itself, work),
    })),
  ];

  test.each(places)("$at: the caller gets an error, nothing is kept, and it can be repeated", async ({ told, cut }) => {
    const { jobId, before } = await aJob();
    let notifications = 0;
    const engine = engineOn(database, { notifyCommit: () => (notifications += 1) });
    expect(await cut(() => answer(poisonJob(engine, WORKSPACE, jobId, FOUND)))).toBe(told);
    expect(await recordsOf(watch, jobId)).toEqual(before);
    expect(notifications).toBe(0);

    expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe("POISONED");
    const after = await recordsOf(watch, jobId);
    expectPoisoned(after, before);
    expect(violationsIn(after)).toHaveLength(1);
  });
});

/** Every statement of the transaction; the first of the tests below fails when there is one more. */
const statements = [
  { before: "the job is locked", sql: /FOR NO KEY UPDATE[^]*count\(\*\)::int/, told: "TRY_AGAIN" },
  { before: "its descendants are read", sql: /job_id <> [^]*FOR NO KEY UPDATE/, told: "TRY_AGAIN" },
  { before: "the runs", sql: /UPDATE workflow_runs/, told: "TRY_AGAIN" },
  { before: "the nodes", sql: /UPDATE node_executions/, told: "TRY_AGAIN" },
  { before: "the job and its event", sql: /UPDATE ai_jobs[^]*INSERT INTO flight_recorder_events/, told: "TRY_AGAIN" },
  { before: "the partial output", sql: /DELETE FROM output_chunks/, told: "TRY_AGAIN" },
  { before: "COMMIT", sql: /^COMMIT$/, told: "thrown" },
] as const;

test("these are all the statements of a poisoning, in this order", async () => {
  const { jobId } = await aJob();
  const received: string[] = [];
  const prisma = interruptibleClient(url, async (sql) => void received.push(sql));
  try {
    expect(await answer(poisonJob(engineOn({ ...database, prisma }), WORKSPACE, jobId, FOUND))).toBe("POISONED");
  } finally {
    await prisma.$disconnect();
  }
  expect(received.map((sql) => statements.findIndex((known) => known.sql.test(sql)))).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

const cuts = [
  { by: "PostgreSQL", cut: (backend: number) => terminate(admin, backend) },
  { by: "the network", cut: async () => proxy.cut() },
] as const;

/** What has arrived at this process is read in its next turn: the product then knows that its connection has gone. */
async function untilNoticed(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe.each(cuts)("between two statements, cut by $by", ({ cut }) => {
  test.each(statements)("before $before: TRY_AGAIN, nothing kept, can be repeated", async ({ sql: where }) => {
    const { jobId, before } = await aJob();
    let armed = true;
    const prisma = interruptibleClient(proxy.url, async (sql, backend) => {
      if (!armed || !where.test(sql)) return;
      armed = false;
      await cut(backend);
      await untilNoticed();
    });
    const engine = engineOn({ ...database, prisma });
    try {
      expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe("TRY_AGAIN");
      expect(armed).toBe(false);
      expect(await recordsOf(watch, jobId)).toEqual(before);

      expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe("POISONED");
    } finally {
      await prisma.$disconnect();
    }
    const after = await recordsOf(watch, jobId);
    expectPoisoned(after, before);
    expect(violationsIn(after)).toHaveLength(1);
  });
});

describe("the answer to a statement is lost on the way", () => {
  test.each(statements)("after $before", async ({ sql: where, told, before: which }) => {
    const { jobId, before } = await aJob();
    let armed = true;
    const prisma = interruptibleClient(proxy.url, async (sql) => {
      if (!armed || !where.test(sql)) return;
      armed = false;
      proxy.loseNextAnswer();
    });
    const engine = engineOn({ ...database, prisma });
    const committed = which === "COMMIT";
    try {
      expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe(told);
      expect(armed).toBe(false);
      const became = expectAllOrNothing(await recordsOf(watch, jobId), before);
      expect(became).toBe(committed ? "poisoned" : "as before");

      expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe(
        committed ? "ALREADY_POISONED" : "POISONED",
      );
    } finally {
      await prisma.$disconnect();
    }
    const after = await recordsOf(watch, jobId);
    expectPoisoned(after, before);
    expect(violationsIn(after)).toHaveLength(1);
  });
});

test("connections that broke while nobody used them are replaced, and the caller hears nothing of it", async () => {
  const prisma = interruptibleClient(proxy.url, async () => undefined);
  const engine = engineOn({ ...database, prisma });
  try {
    for (let round = 0; round < 10; round++) {
      const { jobId } = await aJob();
      await prisma.$queryRaw`SELECT 1`;
      proxy.cut();
      expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe("POISONED");
    }
  } finally {
    await prisma.$disconnect();
  }
});

test("while no connection can be had the caller is told TRY_AGAIN, and nothing is kept", async () => {
  const { jobId, before } = await aJob();
  const prisma = interruptibleClient(proxy.url, async () => undefined);
  proxy.refuse();
  try {
    expect(await answer(poisonJob(engineOn({ ...database, prisma }), WORKSPACE, jobId, FOUND))).toBe("TRY_AGAIN");
    expect(await recordsOf(watch, jobId)).toEqual(before);
    proxy.allow();
    expect(await answer(poisonJob(engineOn({ ...database, prisma }), WORKSPACE, jobId, FOUND))).toBe("POISONED");
  } finally {
    proxy.allow();
    await prisma.$disconnect();
  }
});

describe("a transaction that gets no further is given up", () => {
  test.each([
    { want: "a connection", patience: { maxWait: 60, lockTimeout: 8000 }, others: 1 },
    { want: "the job's row", patience: { maxWait: 8000, lockTimeout: 60 }, others: 0 },
  ])("for want of $want: TRY_AGAIN, nothing kept, and it can be repeated", async ({ patience, others }) => {
    const { jobId, before } = await aJob();
    const prisma = anotherClient(url, 1, patience);
    const engine = engineOn({ ...database, prisma });
    const holder = await connectTo(url);
    await holder.query("BEGIN");
    await holder.query("SELECT FROM ai_jobs WHERE job_id = $1 FOR UPDATE", [jobId]);
    // A report that waits for the row holds the one connection of the pool, which is open by then: how long that takes is not measured here.
    await prisma.$queryRaw`SELECT 1`;
    const waiting = Array.from({ length: others }, () => answer(poisonJob(engine, WORKSPACE, jobId, FOUND)));
    await expect.poll(waitingForLocks).toBe(others);
    try {
      expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe("TRY_AGAIN");
      expect(await recordsOf(watch, jobId)).toEqual(before);
    } finally {
      await holder.end();
    }
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => "POISONED"));
    expect(await answer(poisonJob(engine, WORKSPACE, jobId, FOUND))).toBe(
      others === 0 ? "POISONED" : "ALREADY_POISONED",
    );
    await prisma.$disconnect();
    const after = await recordsOf(watch, jobId);
    expectPoisoned(after, before);
    expect(violationsIn(after)).toHaveLength(1);
  });
});
