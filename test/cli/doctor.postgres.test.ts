import { afterAll, beforeAll, expect, test } from "vitest";
import { diagnose } from "../../src/cli/doctor/findings.ts";
import { openDatabase } from "../../src/db/open.ts";
import { createPostgresDatabase } from "../support/database.ts";

/** What `doctor` finds on PostgreSQL. */

let url: string;
let drop: () => Promise<void>;
beforeAll(async () => {
  ({ url, drop } = await createPostgresDatabase());
});
afterAll(() => drop());

const stateOf = async (env: Readonly<Record<string, string>>) =>
  Object.fromEntries((await diagnose({ DATABASE_URL: url, ...env })).map(({ check, state }) => [check, state]));

test("a database without migrations is migrated by a server that may, and stops one that may not", async () => {
  expect(await stateOf({})).toEqual({ configuration: "ok", database: "warning" });
  expect(await stateOf({ MIGRATE: "off" })).toEqual({ configuration: "ok", database: "failed" });
});

test("a database that can be used: its version, round trip, clock, connections, size and feed", async () => {
  await (await openDatabase({ kind: "postgres", url, poolSize: 2 })).close();
  const found = await stateOf({});
  expect(Object.keys(found)).toEqual([
    "configuration",
    "database",
    "version",
    "round trip",
    "clock",
    "connections",
    "size",
    "feed",
  ]);
  expect(found).toMatchObject({ database: "ok", clock: "ok", feed: "ok" });
  // More connections than the server has.
  expect(await stateOf({ DATABASE_POOL_SIZE: "200" })).toMatchObject({ connections: "warning" });
});

test("with auth, a role that row-level security does not hold for is refused", async () => {
  const env = { OPERATOR_KEY: "the-key-of-the-operator-of-this-test" };
  expect(await stateOf(env)).toEqual({ configuration: "ok", database: "failed" });
});
