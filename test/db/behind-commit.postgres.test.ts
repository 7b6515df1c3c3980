import { afterAll, beforeAll, expect, test } from "vitest";
import type { ReadRows } from "../../src/db/database.ts";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { JOB_COLUMNS } from "../../src/db/job-columns.ts";
import { EVENT_COLUMNS } from "../../src/db/rows.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { EVERYWHERE, engineOn, started } from "../support/engine.ts";

/** What is read right behind a COMMIT, on its connection. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

/** Has `read` called behind each COMMIT of `work`. @returns what came of it, one after another. */
async function behindCommits<T>(read: (rows: ReadRows) => Promise<T>, work: () => Promise<unknown>) {
  const answers: Promise<PromiseSettledResult<T>[]>[] = [];
  db.onCommitSent?.((rows) => answers.push(Promise.allSettled([read(rows)])));
  await work();
  db.onCommitSent?.(() => undefined);
  return (await Promise.all(answers)).flat();
}

const add = (id: string) =>
  inTransaction({ prisma: serverSide(db).prisma, notifyCommit: () => undefined }, EVERYWHERE, async (tx) => {
    await tx.$executeRaw`INSERT INTO workspaces (workspace_id, name) VALUES (gen_random_uuid(), ${id})`;
    if (id === "never kept") throw new Error("It is not to be kept.");
  });
const kept = Prisma.sql`SELECT name FROM workspaces WHERE name LIKE 'kept%' ORDER BY name`;

test("it sees what was committed, and its rows are what Prisma gives", async () => {
  let jobId = "";
  const events = Prisma.sql`SELECT ${EVENT_COLUMNS} FROM flight_recorder_events ORDER BY job_id, version`;
  const jobs = Prisma.sql`SELECT ${JOB_COLUMNS} FROM ai_jobs ORDER BY job_id`;
  const [answer, ...more] = await behindCommits(
    (rows) => Promise.all([rows<{ version: number; jobId: string }>(events), rows(jobs)]),
    async () => {
      ({ jobId } = (await started(engineOn(db))).job);
    },
  );
  expect(more).toEqual([]);
  expect(answer).toEqual({
    status: "fulfilled",
    value: [await db.prisma.$queryRaw(events), await db.prisma.$queryRaw(jobs)],
  });
  expect(answer).toMatchObject({ value: [[{ version: 1 }, { jobId, version: 2, state: "RUNNING" }], [{ jobId }]] });
});

test("nothing is read behind what is rolled back", async () => {
  const answers = await behindCommits(
    (rows) => rows(kept),
    () => add("never kept").catch(() => undefined),
  );
  expect(answers).toEqual([]);
});

test("a read that fails is no failure of the commit, nor of what its connection does next", async () => {
  const answers = await behindCommits(
    (rows) => rows(Prisma.sql`SELECT 1 / (SELECT count(*) - count(*) FROM capability_profiles)`),
    async () => {
      for (let at = 0; at < 5; at++) await add(`kept ${at}`);
      await Promise.all([5, 6, 7, 8, 9].map((at) => add(`kept ${at}`)));
    },
  );
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => "rejected"));
  expect(await db.prisma.$queryRaw(kept)).toHaveLength(10);
});
