import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { claimAll, expectEachOnce, submitMany } from "../support/claim-race.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { startTestServer } from "../support/server.ts";

/** Claims of several connections, and of several servers, that plan from the same rows at once. */

let db: TestDatabase;
let otherStorage: Database;
beforeAll(async () => {
  db = await openTestDatabase();
  otherStorage = await openDatabase(db.location);
});
afterAll(async () => {
  await otherStorage.close();
  await db.close();
});

const many = () => Array.from({ length: 100 }, () => randomUUID());

test("64 clients claim from the jobs of 100 workspaces: each job once, and nobody is sent away empty", async () => {
  const engine = engineOn(db);
  const jobIds = await submitMany(engine, 300, many());
  const server = await startTestServer(db);
  const got = await claimAll(server.url, 300, 1, {});
  await server.close();
  await expectEachOnce(engine, jobIds, got);
  expect(got.emptyClaims).toBe(0);
});

test("clients of two servers claim from the jobs of 100 workspaces: each job once", async () => {
  const engine = engineOn(db);
  const jobIds = await submitMany(engine, 300, many());
  const servers = [await startTestServer(db), await startTestServer(otherStorage)] as const;
  const halves = await Promise.all(servers.map(({ url }) => claimAll(url, 100, 1, {})));
  const rest = await claimAll(servers[0].url, 300 - halves.flatMap(({ jobIds: ids }) => ids).length, 1, {});
  for (const server of servers) await server.close();
  const all = [...halves, rest];
  await expectEachOnce(engine, jobIds, {
    jobIds: all.flatMap((got) => got.jobIds),
    tokens: all.flatMap((got) => got.tokens),
    emptyClaims: 0,
  });
});
