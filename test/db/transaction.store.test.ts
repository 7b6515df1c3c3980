import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { sqlState } from "../../src/db/sql-state.ts";
import { inTransaction } from "../../src/db/transaction.ts";
import { TryAgainError } from "../../src/errors.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { EVERYWHERE } from "../support/engine.ts";
import { changeJobAlone, everythingOf, insertJob, jobIn } from "../support/plain-sql.ts";

let db: TestDatabase;
let prisma: PrismaClient;
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());

function context() {
  const notifications: string[] = [];
  return { prisma, notifyCommit: () => notifications.push("woken"), notifications };
}

/** SQL that fails with this SQLSTATE. */
function raise(code: string): string {
  return `DO $$ BEGIN RAISE EXCEPTION 'by a test' USING ERRCODE = '${code}'; END $$`;
}

test("what a transaction did is there once it has returned, and the feed is told then", async () => {
  const on = context();
  const jobId = randomUUID();
  const result = await inTransaction(on, EVERYWHERE, async (tx) => {
    await insertJob(tx, jobId);
    expect(on.notifications).toEqual([]);
    return "done";
  });
  expect(result).toBe("done");
  expect(on.notifications).toEqual(["woken"]);
  expect(await prisma.aiJob.count({ where: { jobId } })).toBe(1);
});

test.each([
  ["a serialisation failure", "40001"],
  ["a deadlock", "40P01"],
  ["a lock that was not had in time", "55P03"],
  ["a statement that took too long", "57014"],
  ["no connection left", "53300"],
])("%s is tried again, four times in all, then it is TRY_AGAIN and nothing is kept", async (_, code) => {
  const on = context();
  const jobId = randomUUID();
  let attempts = 0;
  const refused = inTransaction(on, EVERYWHERE, async (tx) => {
    attempts++;
    await insertJob(tx, jobId);
    await tx.$executeRawUnsafe(raise(code));
  });
  await expect(refused).rejects.toThrow(TryAgainError);
  await expect(refused).rejects.toMatchObject({ code: "TRY_AGAIN" });
  expect(attempts).toBe(4);
  expect(on.notifications).toEqual([]);
  expect(await prisma.aiJob.count({ where: { jobId } })).toBe(0);
});

test("what gave way and then went well counts once", async () => {
  const on = context();
  const jobId = randomUUID();
  let attempts = 0;
  const result = await inTransaction(on, EVERYWHERE, async (tx) => {
    attempts++;
    await insertJob(tx, jobId);
    if (attempts < 4) await tx.$executeRawUnsafe(raise("40P01"));
    return attempts;
  });
  expect(result).toBe(4);
  expect(on.notifications).toEqual(["woken"]);
  expect(await prisma.flightRecorderEvent.count({ where: { jobId } })).toBe(1);
});

test("what gives way at its commit is tried again", async () => {
  await prisma.$executeRawUnsafe(`CREATE SEQUENCE test_commits`);
  await prisma.$executeRawUnsafe(`
    CREATE FUNCTION test_gives_way() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('test_commits') < 3 THEN RAISE EXCEPTION 'by a test' USING ERRCODE = '40001'; END IF;
      RETURN NULL;
    END $$`);
  await prisma.$executeRawUnsafe(`
    CREATE CONSTRAINT TRIGGER test_gives_way AFTER INSERT ON ai_jobs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION test_gives_way()`);
  const on = context();
  const jobId = randomUUID();
  let attempts = 0;
  await inTransaction(on, EVERYWHERE, async (tx) => {
    attempts++;
    await insertJob(tx, jobId);
  });
  await prisma.$executeRawUnsafe("DROP TRIGGER test_gives_way ON ai_jobs");
  expect(attempts).toBe(3);
  expect(await prisma.aiJob.count({ where: { jobId } })).toBe(1);
});

test.each(["AJ001", "23505", "22P02", "P0001", "XX000"])("%s is not tried again", async (code) => {
  const on = context();
  let attempts = 0;
  const error = await inTransaction(on, EVERYWHERE, async (tx) => {
    attempts++;
    await tx.$executeRawUnsafe(raise(code));
  }).catch((thrown: unknown) => thrown);
  expect(sqlState(error)).toBe(code);
  expect(attempts).toBe(1);
  expect(on.notifications).toEqual([]);
});

test("a commit that the database refuses is an error, and the feed hears nothing", async () => {
  const on = context();
  const jobId = await jobIn(prisma, "running");
  const before = await everythingOf(prisma, jobId);
  let attempts = 0;
  const error = await inTransaction(on, EVERYWHERE, async (tx) => {
    attempts++;
    await changeJobAlone(tx, jobId, "completed");
  }).catch((thrown: unknown) => thrown);
  expect(sqlState(error)).toBe("AJ006");
  expect(attempts).toBe(1);
  expect(on.notifications).toEqual([]);
  expect(await everythingOf(prisma, jobId)).toEqual(before);
});

test("what the work throws comes out as it is, and nothing is kept", async () => {
  const on = context();
  const jobId = randomUUID();
  const thrown = new RangeError("by the work");
  const error = await inTransaction(on, EVERYWHERE, async (tx) => {
    await insertJob(tx, jobId);
    throw thrown;
  }).catch((caught: unknown) => caught);
  expect(error).toBe(thrown);
  expect(sqlState(error)).toBeUndefined();
  expect(on.notifications).toEqual([]);
  expect(await prisma.aiJob.count({ where: { jobId } })).toBe(0);
});

test.each([
  undefined,
  null,
  "text",
  7,
  new Error("plain"),
  { code: "40001" },
  Object.assign(new Error("x"), { meta: 1 }),
])("%s has no SQLSTATE", (error) => {
  expect(sqlState(error)).toBeUndefined();
});
