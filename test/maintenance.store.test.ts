import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { recoverAtStart } from "../src/maintenance.ts";
import { leftBehind, queuedJobs, tally } from "./support/bulk.ts";
import { openTestDatabase, type TestDatabase } from "./support/database.ts";
import { engineOn } from "./support/engine.ts";

/** What a start goes on with that others have left, and what it leaves to them. */

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

test("a start finishes the bulk actions that nobody is at, and leaves alone one that another server is doing now", async () => {
  const { prisma } = db;
  const engine = engineOn(db);
  const [before, now] = [{ protocolId: "before" }, { protocolId: "now" }];
  await queuedJobs(engine, 2, before);
  await queuedJobs(engine, 3, now);
  const left = await leftBehind(prisma, { filter: before });
  const underWay = await leftBehind(prisma, { filter: now });
  // Some seconds on either side of what a start takes for now, however slow this machine is.
  await prisma.$executeRaw`ALTER TABLE bulk_actions DISABLE TRIGGER USER`;
  await prisma.$executeRaw`
    UPDATE bulk_actions SET created_at = created_at + CASE id WHEN ${left}::uuid THEN -1 ELSE 1 END * interval '20 seconds'`;
  await prisma.$executeRaw`ALTER TABLE bulk_actions ENABLE TRIGGER USER`;
  await recoverAtStart(engine, pino({ level: "silent" }));
  expect(await tally(prisma, { id: left })).toEqual({ changed: 2 });
  expect(await tally(prisma, { id: underWay })).toEqual({ pending: 3 });
});
