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

const OPERATOR_KEY = "o".repeat(32);

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
  expect(await statusWith({ OPERATOR_KEY })).toBe(401);
}, 120_000);

test("nor is one that was served with auth, although it has no key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ai-job-server-auth-"));
  const DATABASE_URL = `file:${folder}`;
  expect(await statusWith({ DATABASE_URL })).toBe(200);
  expect(await statusWith({ DATABASE_URL, AUTH: "required", HOST: "0.0.0.0" })).toBe(401);
  const { code, stderr } = await spawnServer({ DATABASE_URL }).exited;
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("was served with auth") });
  expect(await statusWith({ DATABASE_URL, AUTH: "off" })).toBe(200);
  await rm(folder, { recursive: true });
}, 120_000);

test("rates are of a server that asks who calls; the development start has none", async () => {
  const statuses = async (env: Readonly<Record<string, string>>) => {
    const server = spawnServer({ DATABASE_URL: "memory:", RATE_COMMANDS_PER_SECOND: "1", ...env });
    const url = await server.url;
    const body = JSON.stringify({ query: 'mutation { createWorkspace(input: { name: "w" }) { __typename } }' });
    const headers = { "content-type": "application/json", authorization: `Bearer ${OPERATOR_KEY}` };
    const seen = new Set<number>();
    for (let time = 0; time < 20; time += 1) seen.add((await fetch(url, { method: "POST", headers, body })).status);
    await server.end("SIGTERM");
    return [...seen];
  };
  expect(await statuses({})).toEqual([200]);
  expect(await statuses({ OPERATOR_KEY })).toEqual([200, 429]);
  expect(await statuses({ OPERATOR_KEY, RATE_COMMANDS_PER_SECOND: "0" })).toEqual([200]);
}, 120_000);
