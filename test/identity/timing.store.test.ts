import { randomInt } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isApiKeySecret, newApiKeySecret, withChecksum } from "../../src/identity/api-key.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { OPERATOR } from "../../src/identity/principal.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, WORKSPACE } from "../support/engine.ts";

/** How long a key takes to be refused does not tell how much of it is right (section 11). */

const LOOKUPS = 2_000;
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Of the 43 random characters, the last. */
const LAST_RANDOM = "ajs_".length + 42;

let db: TestDatabase;
let authenticator: Authenticator;
let secret: string;
beforeAll(async () => {
  db = await openTestDatabase();
  // With next to no memory of what is no key: each is looked up in the database.
  const { prisma } = serverSide(db);
  authenticator = createAuthenticator({ prisma, operatorKey: undefined, onError: () => undefined, maxUnknown: 1 });
  const key = { name: "k", roles: ["VIEWER" as const], jobKinds: null, expiresAt: null, workspaceId: WORKSPACE };
  ({ secret } = ok(await createApiKey(engineOn(db), OPERATOR, key)));
});
afterAll(async () => {
  authenticator.close();
  await db.close();
});

/** The keys that differ from the real one in the last random character, with the right checksum. */
function nearKeys(): readonly string[] {
  const others = ALPHABET.split("").filter((character) => character !== secret[LAST_RANDOM]);
  return others.map((character) => withChecksum(`${secret.slice(0, LAST_RANDOM)}${character}`));
}

async function milliseconds(key: string): Promise<number> {
  const start = performance.now();
  const found = await authenticator.authenticate({ authorization: `Bearer ${key}` });
  const taken = performance.now() - start;
  expect(found).toMatchObject({ code: "UNAUTHENTICATED" });
  return taken;
}

/** The share of pairs in which the one takes longer than the other (Mann and Whitney): 0.5 where nothing tells them apart. */
function shareOfLonger(one: readonly number[], other: readonly number[]): number {
  const sorted = other.toSorted((a, b) => a - b);
  const below = one.map(
    (value) => sorted.filter((each) => each < value).length + 0.5 * sorted.filter((each) => each === value).length,
  );
  return below.reduce((sum, count) => sum + count, 0) / (one.length * other.length);
}

test("a key that lacks one character and one of which nothing is right take equally long to be refused", async () => {
  const near = nearKeys();
  expect(near.every((key) => isApiKeySecret(key) && key.startsWith(secret.slice(0, LAST_RANDOM)))).toBe(true);
  // Made before, and as many, so that each kind is as warm in every cache.
  const random = near.map(newApiKeySecret);
  const [ofNear, ofRandom]: [number[], number[]] = [[], []];
  for (let index = 0; index < LOOKUPS; index++) {
    // In no order that the machine's own ups and downs could follow.
    const [keys, times] = randomInt(2) === 0 ? ([near, ofNear] as const) : ([random, ofRandom] as const);
    times.push(await milliseconds(keys[randomInt(keys.length)] ?? ""));
  }
  const share = shareOfLonger(ofNear, ofRandom);
  process.stdout.write(`Near and random keys on ${db.location.kind}: ${share.toFixed(3)} of pairs take longer\n`);
  // Four standard deviations of 1,000 against 1,000 equal ones are 0.05.
  expect(Math.abs(share - 0.5)).toBeLessThan(0.06);
}, 180_000);
