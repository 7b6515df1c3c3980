import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "../../src/db/open.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS } from "../../src/identity/principal.ts";
import { engineOn, ok } from "../support/engine.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";

/** A setting that was forgotten must not open a server to everybody. */

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "ai-job-server-auth-"));
  const database = await openDatabase({ kind: "folder", path });
  const key = { name: "k", roles: ["ADMIN" as const], jobKinds: null, expiresAt: null, workspaceId: null };
  ok(await createApiKey(engineOn(database), ANONYMOUS, key));
  await database.close();
});
afterAll(async () => {
  await killSpawned();
  await rm(path, { recursive: true });
});

async function statusWith(env: Readonly<Record<string, string>>): Promise<number> {
  const server = spawnServer({ DATABASE_URL: `file:${path}`, ...env });
  const url = await server.url;
  const headers = { "content-type": "application/json" };
  const { status } = await fetch(url, { method: "POST", headers, body: '{"query":"{ __typename }"}' });
  await server.end("SIGTERM");
  return status;
}

test("a database that has API keys is not served to everybody, unless that is said", async () => {
  const { code, stderr } = await spawnServer({ DATABASE_URL: `file:${path}` }).exited;
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("Set AUTH=required, or AUTH=off") });
  expect(await statusWith({ AUTH: "off" })).toBe(200);
  expect(await statusWith({ AUTH: "required" })).toBe(401);
  expect(await statusWith({ OPERATOR_KEY: "o".repeat(32) })).toBe(401);
}, 120_000);
