import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { diagnose } from "../../src/cli/doctor/findings.ts";
import { openDatabase } from "../../src/db/open.ts";
import { createPostgresDatabase, openTestDatabase, type TestDatabase } from "../support/database.ts";
import { startGuardedServer } from "../support/guarded-server.ts";

/** What `doctor` finds on PostgreSQL. */

let url: string;
let drop: () => Promise<void>;
beforeAll(async () => {
  ({ url, drop } = await createPostgresDatabase());
});
afterAll(() => drop());

const stateOf = async (env: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    (await diagnose({ DATABASE_URL: url, PORT: "0", ...env })).map(({ check, state }) => [check, state]),
  );

test("a database without migrations is migrated by a server that may, and stops one that may not", async () => {
  expect(await stateOf({})).toEqual({ configuration: "ok", port: "ok", database: "warning" });
  expect(await stateOf({ MIGRATE: "off" })).toEqual({ configuration: "ok", port: "ok", database: "failed" });
});

test("a database that can be used: its version, round trip, clock, connections, size and feed", async () => {
  await (await openDatabase({ kind: "postgres", url, poolSize: 2 })).close();
  const found = await stateOf({});
  expect(Object.keys(found)).toEqual([
    "configuration",
    "port",
    "database",
    "version",
    "round trip",
    "clock",
    "connections",
    "size",
    "feed",
    "auth",
  ]);
  expect(found).toMatchObject({ database: "ok", clock: "ok", feed: "ok", auth: "ok" });
  // More connections than the server has.
  expect(await stateOf({ DATABASE_POOL_SIZE: "200" })).toMatchObject({ connections: "warning" });
});

test("with auth, a role that row-level security does not hold for is refused", async () => {
  const env = { OPERATOR_KEY: "the-key-of-the-operator-of-this-test" };
  expect(await stateOf(env)).toEqual({ configuration: "ok", port: "ok", database: "failed" });
});

describe("a database that has an API key", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
    const server = await startGuardedServer(database);
    await server.keyOf();
    await server.close();
  });
  afterAll(() => database.close());

  const authFinding = async (env: Readonly<Record<string, string>>) =>
    (await diagnose({ ...database.env, PORT: "0", ...env })).find(({ check }) => check === "auth");

  test("stops a server that is not told to ask for it, and the finding says what to set", async () => {
    const text = expect.stringMatching(/has API keys.*Set AUTH=required, or AUTH=off/);
    expect(await authFinding({})).toEqual({ check: "auth", state: "failed", text });
  });

  test.each([["required"], ["off"]])("is no obstacle where it was decided: %s", async (AUTH) => {
    expect(await authFinding({ AUTH })).toMatchObject({ state: "ok" });
  });
});
