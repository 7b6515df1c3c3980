import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Signals } from "../../src/recorder/signals.ts";
import { overRedis } from "../../src/recorder/signals-redis.ts";
import { hintsOver } from "../support/carriers.ts";
import { type RedisAdmin, redisAdmin, TEST_REDIS_URL } from "../support/redis.ts";

const epoch = randomUUID();
let admin: RedisAdmin;
beforeAll(async () => {
  admin = await redisAdmin();
});
afterAll(() => admin[Symbol.asyncDispose]());

hintsOver("Redis", () => ({
  url: TEST_REDIS_URL,
  carrier: (url) => overRedis(url, epoch),
  breakAll: () => admin.breakAll(epoch),
  connections: () => admin.connections(epoch),
}));

test("hints of one database are not heard by the servers of another one on the same Redis", async () => {
  const open = async (of: string) => {
    let heard = 0;
    const signals = new Signals(overRedis(TEST_REDIS_URL, of), { onChange: () => undefined });
    await vi.waitUntil(() => signals.health.connected, { timeout: 20_000 });
    signals.onWake(() => {
      heard += 1;
    });
    return { signals, heard: () => heard };
  };
  const [one, same, other] = [await open(epoch), await open(epoch), await open(randomUUID())];
  one.signals.wake();
  await vi.waitUntil(() => same.heard() === 1, { timeout: 20_000 });
  expect(other.heard()).toBe(0);
  await Promise.all([one, same, other].map(({ signals }) => signals.close()));
});
