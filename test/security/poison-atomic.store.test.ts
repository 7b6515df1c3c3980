import { afterAll, beforeAll, expect, test } from "vitest";
import { TryAgainError } from "../../src/errors.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, WORKSPACE } from "../support/engine.ts";
import { FAULT_POINTS, type FaultPoint, faultCalls, raising, withFault, withFaultAtLock } from "../support/faults.ts";
import { aBusyJob, FOUND } from "../support/jobs.ts";
import { expectPoisoned, recordsOf, violationsIn } from "../support/records.ts";

/** Poisoning is all or nothing: a statement that fails anywhere in its transaction leaves everything as it was. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

const places: readonly { at: string; fail: <T>(body: string, work: () => Promise<T>) => Promise<T> }[] = [
  { at: "in the statement that locks the job", fail: (body, work) => withFaultAtLock(db, body, work) },
  ...FAULT_POINTS.map((point: FaultPoint) => ({
    at: point.at,
    fail: <T>(body: string, work: () => Promise<T>) => withFault(db, point, body, work),
  })),
];

test.each(places)("a failure $at is told, keeps nothing, and the report can be sent again", async ({ fail }) => {
  let notifications = 0;
  const engine = engineOn(db, { notifyCommit: () => (notifications += 1) });
  const { jobId } = (await aBusyJob(engineOn(db))).job;
  const before = await recordsOf(db.prisma, jobId);
  const report = () => poisonJob(engine, WORKSPACE, jobId, FOUND);

  // What nobody foresaw is thrown as it is, after one attempt.
  const unforeseen = await raising(db, "P0001");
  await fail(unforeseen, () => expect(report()).rejects.toThrow("injected by a test"));
  expect(await faultCalls(db)).toBe(1);
  expect(await recordsOf(db.prisma, jobId)).toEqual(before);

  // Where the database asks to give way, it is tried four times, and then the caller is told TRY_AGAIN.
  const always = await raising(db, "40001");
  await fail(always, () => expect(report()).rejects.toThrow(TryAgainError));
  expect(await faultCalls(db)).toBe(4);
  expect(await recordsOf(db.prisma, jobId)).toEqual(before);
  // Nobody who watches was told of what was not committed.
  expect(notifications).toBe(0);

  // Where the third attempt gets through, that is one poisoning and one event.
  const twice = await raising(db, "40P01", 2);
  expect(await fail(twice, report)).toMatchObject({ action: "POISONED", job: { state: "POISONED" } });
  expect(await faultCalls(db)).toBeGreaterThan(2);
  const after = await recordsOf(db.prisma, jobId);
  expectPoisoned(after, before);
  expect(violationsIn(after)).toHaveLength(1);
  expect(notifications).toBe(1);
});
