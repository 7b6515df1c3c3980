import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { type RateLimits, Rates } from "../../src/rates/rates.ts";
import { redisStores } from "../../src/rates/redis-store.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../support/database.ts";
import { TEST_REDIS_URL } from "../support/redis.ts";
import { type OwnRedis, ownRedis } from "../support/redis-server.ts";
import { killSpawned, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** Rates that several servers count together in Redis, and what they do without it (section 11). */

const OPERATOR_KEY = "o".repeat(32);
const LIMITS: RateLimits = {
  complexityPerMinute: 60,
  commandsPerSecond: 0,
  maxStreams: 0,
  maxLongPolls: 0,
  failedLoginsPerMinute: 0,
};
const READ = { units: 1, commands: 0, isLongPoll: false };

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const { close } of opened.splice(0)) await close();
});

/** The rates of a server, once it is connected; `changes` are what it was told of its connection. */
async function ratesOf(url: string, database: string) {
  const changes: boolean[] = [];
  const rates = new Rates(
    LIMITS,
    redisStores(url, database, (isConnected) => changes.push(isConnected)),
  );
  opened.push({ close: () => rates.close() });
  await vi.waitUntil(() => changes.at(-1) === true, { timeout: 10_000 });
  return { rates, changes };
}

/** How many reads of a minute are allowed by servers that are asked in turn. */
async function allowed(servers: readonly Rates[], asked: number): Promise<number> {
  let count = 0;
  for (let read = 0; read < asked; read += 1) {
    const refusal = await servers[read % servers.length]?.spend("key:1", READ);
    if (!refusal) count += 1;
  }
  return count;
}

test("two servers of a database have one rate, those of another one their own", async () => {
  const [database, other] = [randomUUID(), randomUUID()];
  const one = await ratesOf(TEST_REDIS_URL, database);
  const two = await ratesOf(TEST_REDIS_URL, database);
  const three = await ratesOf(TEST_REDIS_URL, other);
  expect(await allowed([one.rates, two.rates], 100)).toBe(60);
  expect(await allowed([three.rates], 100)).toBe(60);
});

test("without Redis each server counts by itself, says so once, and counts with the others again", async () => {
  const redis = await ownRedis();
  opened.push({ close: () => redis.kill() });
  await redis.start();
  const database = randomUUID();
  const one = await ratesOf(redis.url, database);
  const two = await ratesOf(redis.url, database);
  expect(await allowed([one.rates, two.rates], 100)).toBe(60);
  await redis.kill();
  await vi.waitUntil(() => one.changes.at(-1) === false && two.changes.at(-1) === false, { timeout: 10_000 });
  // Each still knows that this key's minute is not over; of another key nobody knows anything yet.
  expect(await allowed([one.rates, two.rates], 10)).toBe(0);
  const spendOf = async (rates: Rates) => {
    let count = 0;
    while (!(await rates.spend("key:2", READ))) count += 1;
    return count;
  };
  expect([await spendOf(one.rates), await spendOf(two.rates)]).toEqual([60, 60]);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect([one.changes, two.changes]).toEqual([
    [true, false],
    [true, false],
  ]);
  await redis.start();
  await vi.waitUntil(() => one.changes.at(-1) === true && two.changes.at(-1) === true, { timeout: 20_000 });
  let together = 0;
  for (const { rates } of [one, two, one, two])
    for (let read = 0; read < 20; read += 1) if (!(await rates.spend("key:3", READ))) together += 1;
  expect(together).toBe(60);
});

test("a Redis that accepts and says nothing delays an answer by moments only", async () => {
  const redis = await ownRedis();
  opened.push({ close: () => redis.kill() });
  await redis.start();
  const { rates, changes } = await ratesOf(redis.url, randomUUID());
  redis.pause();
  const started = performance.now();
  expect(await rates.spend("key:1", READ)).toBeUndefined();
  // The answer's time is 250 ms; the rest is for a busy machine. A connection counts as broken after 15 s.
  expect(performance.now() - started).toBeLessThan(10_000);
  // A connection without a sign of life counts as broken, and nobody waits for it any more.
  await vi.waitUntil(() => changes.at(-1) === false, { timeout: 40_000 });
  redis.resume();
  await vi.waitUntil(() => changes.at(-1) === true, { timeout: 20_000 });
}, 90_000);

test("a server that never found Redis counts by itself", async () => {
  const redis = await ownRedis();
  const changes: boolean[] = [];
  const rates = new Rates(
    LIMITS,
    redisStores(redis.url, randomUUID(), (isConnected) => changes.push(isConnected)),
  );
  opened.push({ close: () => rates.close() });
  expect(await allowed([rates], 100)).toBe(60);
  await vi.waitUntil(() => changes.length > 0, { timeout: 10_000 });
  expect(changes).toEqual([false]);
});

let database: PostgresDatabase;
let redis: OwnRedis;
beforeAll(async () => {
  database = await createPostgresDatabase();
  redis = await ownRedis();
  await redis.start();
});
afterAll(async () => {
  await killSpawned();
  await redis.kill();
  await database.drop();
});

const READ_QUERY = "{ __typename }";
const COMMAND = 'mutation { createWorkspace(input: { name: "w" }) { __typename } }';

async function statusOf({ url }: SpawnedServer, query: string): Promise<number> {
  const response = await fetch(await url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${OPERATOR_KEY}` },
    body: JSON.stringify({ query }),
  });
  await response.text();
  return response.status;
}

test("two processes share a rate, and go on without Redis, which their logs say once", async () => {
  const env = {
    ...database.env,
    REDIS_URL: redis.url,
    OPERATOR_KEY,
    RATE_COMPLEXITY_PER_MINUTE: "50",
    RATE_COMMANDS_PER_SECOND: "1",
  };
  const one = spawnServer(env);
  await one.url;
  const two = spawnServer(env);
  await two.url;
  const said = (words: string) => [one, two].map(({ logged }) => logged.filter((line) => line.includes(words)).length);
  await vi.waitUntil(() => said("rates are counted in Redis").every((times) => times > 0), { timeout: 60_000 });
  const reads = await Promise.all(
    Array.from({ length: 120 }, (_, index) => statusOf(index % 2 === 0 ? one : two, READ_QUERY)),
  );
  expect(reads.filter((status) => status === 200)).toHaveLength(50);
  expect(reads.filter((status) => status === 429)).toHaveLength(70);
  const [before = 0] = said("this server counts rates by itself");
  await redis.kill();
  await vi.waitUntil(() => (said("this server counts rates by itself")[0] ?? 0) > before, { timeout: 20_000 });
  const commands = await Promise.all(Array.from({ length: 60 }, () => statusOf(one, COMMAND)));
  expect(new Set(commands)).toEqual(new Set([200, 429]));
  expect(said("this server counts rates by itself")[0]).toBe(before + 1);
  for (const server of [one, two]) expect((await server.end("SIGTERM")).code).toBe(0);
}, 240_000);
