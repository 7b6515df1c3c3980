import { afterAll, beforeAll, expect, test } from "vitest";
import type { EngineContext } from "../../src/engine.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { bringTo } from "../support/jobs.ts";
import { backUp, onBusyServer, restore } from "../support/moved-back.ts";

/** Ids that lie a little behind what is stored, and that several connections use up together. */

let db: TestDatabase;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
});
afterAll(() => db.close());

test("a transaction whose id lies below a stored event is refused, also once later ids have gone past that event", async () => {
  await onBusyServer(db.prisma);
  const { jobId } = await submitted(engine);
  const last = await submitted(engine);
  await restore(db.prisma, await backUp(db.prisma), { behind: 3 });
  let attempts = 0;
  const job = await bringTo(engine, jobId, "CANCELLED", {}, async () => {
    attempts += 1;
    // Other transactions begin after this one, and commit before it.
    for (let id = 0; id < 5; id++) await db.prisma.$queryRaw`SELECT pg_current_xact_id()::text`;
  });
  expect(job.orderXid).toBeGreaterThan(last.orderXid);
  // Unless other databases of this server used up the ids first.
  expect(attempts).toBeLessThanOrEqual(2);
});
