import { randomUUID } from "node:crypto";
import { expect, test } from "vitest";
import { claimAll, expectEachOnce, submitMany } from "../support/claim-race.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { startTestServer } from "../support/server.ts";

test("64 clients claim from 1,000 jobs: each job once", { timeout: 120_000 }, async () => {
  const db = await openTestDatabase();
  const engine = engineOn(db);
  const workspaceId = randomUUID();
  const jobIds = await submitMany(engine, 1000, [workspaceId]);
  const server = await startTestServer(db);
  const got = await claimAll(server.url, 1000, 10, { workspaceId });
  await server.close();
  await expectEachOnce(engine, jobIds, got);
  expect(got.emptyClaims).toBe(0);
  await db.close();
});
