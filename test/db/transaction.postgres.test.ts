import { afterAll, beforeAll, expect, test } from "vitest";
import { Prisma, type PrismaClient } from "../../src/db/generated/client/client.ts";
import { openDatabase } from "../../src/db/open.ts";
import { inTransaction, type Transaction } from "../../src/db/transaction.ts";
import { TryAgainError } from "../../src/errors.ts";
import { type LockedJob, lockJobs } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { advanceWorkflow } from "../../src/runs/advance.ts";
import { createPostgresDatabase, openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSnippet, aStep, aSubmit, EVERYWHERE, engineOn, ok, SOMEBODY, started, WORKSPACE } from "../support/engine.ts";
import { startProxy } from "../support/interrupt.ts";
import { jobIn } from "../support/plain-sql.ts";

/** What only several connections show: transactions in each other's way. */

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());

async function lock(tx: Transaction, jobId: string): Promise<LockedJob> {
  const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
  if (!job) throw new Error("There is no such job.");
  return job;
}

function touch(tx: Transaction, job: LockedJob): Promise<unknown> {
  return writeVersion(tx, {
    job,
    set: {},
    event: { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: "touched" } },
  });
}

test("of two transactions that lock the same jobs in opposite order, one gives way and both get done", async () => {
  const [a, b] = [await jobIn(prisma, "queued"), await jobIn(prisma, "queued")];
  let attempts = 0;
  let waiting = 0;
  let meet: () => void = () => undefined;
  const bothHaveOne = new Promise<void>((resolve) => {
    meet = resolve;
  });
  const inOrder = (first: string, second: string) =>
    inTransaction({ prisma, notifyCommit: () => undefined }, EVERYWHERE, async (tx) => {
      attempts++;
      const one = await lock(tx, first);
      if (++waiting === 2) meet();
      await bothHaveOne;
      const two = await lock(tx, second);
      await touch(tx, one);
      await touch(tx, two);
    });
  await Promise.all([inOrder(a, b), inOrder(b, a)]);
  expect(attempts).toBe(3);
  const jobs = await prisma.aiJob.findMany({ where: { jobId: { in: [a, b] } } });
  expect(jobs.map(({ version }) => version)).toEqual([3, 3]);
});

test("many that change the same jobs at once, all get done, and every version has its event", async () => {
  const jobs = [await jobIn(prisma, "queued"), await jobIn(prisma, "queued")];
  const changes = Array.from({ length: 12 }, () =>
    inTransaction({ prisma, notifyCommit: () => undefined }, EVERYWHERE, async (tx) => {
      const locked = await lockJobs(tx, Prisma.sql`job_id = ANY(${jobs}::uuid[])`);
      for (const job of locked.values()) await touch(tx, job);
    }),
  );
  await Promise.all(changes);
  for (const jobId of jobs) {
    expect(await prisma.aiJob.findUnique({ where: { jobId } })).toMatchObject({ version: 13 });
    expect(await prisma.flightRecorderEvent.count({ where: { jobId } })).toBe(13);
  }
});

test("what a command reads beforehand is read again when the connection breaks; while none can be had it is TRY_AGAIN", async () => {
  const { url, drop } = await createPostgresDatabase();
  const proxy = await startProxy(url);
  const database = await openDatabase({ kind: "postgres", url: proxy.url, poolSize: 2 });
  const engine = engineOn(database);
  const submit = () => submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit());
  const claim = await started(engine);
  const report = { ...aStep(claim, "read"), retrievedSnippets: [aSnippet("The roof leaks.", "minutes")] };
  try {
    proxy.loseNextAnswer();
    expect(ok(await submit())).toMatchObject({ job: { state: "QUEUED" } });
    proxy.loseNextAnswer();
    expect(ok(await advanceWorkflow(engine, report))).toMatchObject({ node: { nodeId: "read" } });

    proxy.refuse();
    proxy.cut();
    await expect(submit()).rejects.toThrow(TryAgainError);
    expect(await advanceWorkflow(engine, report).catch((error: unknown) => error)).toBeInstanceOf(TryAgainError);
  } finally {
    proxy.allow();
    await database.close();
    await proxy.close();
    await drop();
  }
});
