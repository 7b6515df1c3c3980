import { afterAll, beforeAll, expect, test } from "vitest";
import { poisonJob, type Violation } from "../../src/workflow/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(() => db.close());

const found: Violation = {
  violationType: "EXPORT",
  aceCode: "ACE-013",
  guardName: "a person",
  trigger: "paragraph 3",
  description: "This source may not leave.",
  sourceId: "doc-1",
};

test("a second report on a poisoned job changes nothing and names the event that poisoned it", async () => {
  const engine = engineOn(db.storage);
  const { jobId } = await submitted(engine);
  const first = await poisonJob(engine, jobId, found);
  const second = await poisonJob(engine, jobId, found);
  expect(first).toMatchObject({ action: "POISONED", job: { state: "POISONED", version: 2 } });
  expect(second).toMatchObject({ action: "ALREADY_POISONED", job: { version: 2 } });
  if (first.action === "REFUSED" || second.action === "REFUSED") throw new Error("refused");
  expect(second.event).toEqual(first.event);
});
