import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { TryAgainError } from "../../src/errors.ts";
import { UNAUTHENTICATED } from "../../src/identity/authentication.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey, revokeApiKey } from "../../src/identity/keys.ts";
import { OPERATOR, type Principal } from "../../src/identity/principal.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, WORKSPACE } from "../support/engine.ts";

/** What asking for credentials costs the database, and what is answered while it cannot be asked (section 11). */

let db: TestDatabase;
let authenticator: Authenticator;
let failures: unknown[];
beforeAll(async () => {
  db = await openTestDatabase();
});
afterAll(async () => {
  await db.close();
});
beforeEach(() => {
  failures = [];
  authenticator = createAuthenticator({
    prisma: engineOn(db).prisma,
    operatorKey: undefined,
    onError: (error) => failures.push(error),
  });
});
afterEach(() => {
  authenticator.close();
});

async function aKey() {
  const key = { name: "k", roles: ["VIEWER" as const], jobKinds: null, expiresAt: null, workspaceId: WORKSPACE };
  const { apiKey, secret } = ok(await createApiKey(engineOn(db), OPERATOR, key));
  return { apiKeyId: apiKey.apiKeyId, sent: { authorization: `Bearer ${secret}` } };
}

/** Who has a credential. @throws Error where nobody has. */
async function principalOf(sent: { authorization: string }): Promise<Principal> {
  const found = await authenticator.authenticate(sent);
  if (found instanceof Error) throw found;
  return found;
}

const aboutKeys = () => db.statements().filter((sql) => sql.includes("api_keys"));

test("the first use of a key takes one statement, that of several at once as well, and the next ones none", async () => {
  const keys = [await aKey(), await aKey(), await aKey()];
  db.statements();
  const uses = keys.flatMap(({ sent }) => [sent, sent, sent]).map(async (sent) => authenticator.authenticate(sent));
  const found = await Promise.all(uses);
  expect(aboutKeys()).toHaveLength(1);
  expect(new Set(found)).toEqual(new Set([found[0], found[3], found[6]]));
  for (const [index, { sent }] of keys.entries()) expect(authenticator.authenticate(sent)).toBe(found[index * 3]);
});

test("all keys in use are looked at in one statement", async () => {
  const keys = [await aKey(), await aKey(), await aKey()];
  for (const { sent } of keys) await principalOf(sent);
  // Their first use is noted first.
  await sleep(1_200);
  db.statements();
  await sleep(2_000);
  const looks = aboutKeys().length;
  expect(looks).toBeGreaterThanOrEqual(1);
  expect(looks).toBeLessThanOrEqual(5);
});

test("when a key was used is noted to the minute, once a minute, and not by its requests", async () => {
  const { apiKeyId, sent } = await aKey();
  const lastUsed = async () => (await db.prisma.apiKey.findUniqueOrThrow({ where: { apiKeyId } })).lastUsedAt;
  expect(await lastUsed()).toBeNull();
  await principalOf(sent);
  const usedAt = Date.now();
  await vi.waitUntil(async () => (await lastUsed()) !== null, { timeout: 10_000, interval: 20 });
  const noted = Number(await lastUsed());
  expect(noted % 60_000).toBe(0);
  expect(usedAt - noted).toBeGreaterThan(-60_000);
  expect(usedAt - noted).toBeLessThan(65_000);
  db.statements();
  for (let at = 0; at < 5; at++) await principalOf(sent);
  await sleep(1_500);
  expect(aboutKeys().filter((sql) => sql.includes("last_used_at ="))).toEqual([]);
});

test("what waits for the end of a principal is told once, and at once where it has ended", async () => {
  const { apiKeyId, sent } = await aKey();
  const principal = await principalOf(sent);
  const told: string[] = [];
  authenticator.onEnd(principal, ({ code }) => told.push(code));
  authenticator.onEnd(principal, () => told.push("removed"))();
  ok(await revokeApiKey(engineOn(db), OPERATOR, { apiKeyId, includeDescendants: false }));
  await vi.waitUntil(() => told.length > 0, { timeout: 10_000, interval: 10 });
  authenticator.onEnd(principal, ({ code }) => told.push(`late ${code}`));
  expect(told).toEqual(["UNAUTHENTICATED", "late UNAUTHENTICATED"]);
  expect(authenticator.authenticate(sent)).toBeInstanceOf(Promise);
  expect(await authenticator.authenticate(sent)).toBe(UNAUTHENTICATED);
});

test("who cannot be asked about for 5 seconds may try again, and is known when the database answers", async () => {
  const { sent } = await aKey();
  const principal = await principalOf(sent);
  const told: string[] = [];
  authenticator.onEnd(principal, ({ code }) => told.push(code));
  await db.prisma.$executeRawUnsafe("ALTER TABLE api_keys RENAME TO moved_away");
  const startedAt = performance.now();
  await vi.waitUntil(() => told.length > 0, { timeout: 20_000, interval: 10 });
  const blindMs = performance.now() - startedAt;
  expect(told).toEqual(["TRY_AGAIN"]);
  expect(blindMs).toBeGreaterThan(4_000);
  expect(await authenticator.authenticate(sent)).toBeInstanceOf(TryAgainError);
  expect(failures.length).toBeGreaterThan(0);
  await db.prisma.$executeRawUnsafe("ALTER TABLE moved_away RENAME TO api_keys");
  await vi.waitUntil(async () => !((await authenticator.authenticate(sent)) instanceof Error), { timeout: 10_000 });
});
