import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { CommitNotifier } from "../../src/live/notifier.ts";
import { redisTransport } from "../../src/live/notifier-redis.ts";
import { hintsOver } from "../support/notifiers.ts";
import { type RedisAdmin, redisAdmin, TEST_REDIS_URL } from "../support/redis.ts";

const hintChannel = randomUUID();
let admin: RedisAdmin;
beforeAll(async () => {
  admin = await redisAdmin();
});
afterAll(() => admin[Symbol.asyncDispose]());

hintsOver("Redis", () => ({
  url: TEST_REDIS_URL,
  transport: (url) => redisTransport(url, hintChannel),
  breakAll: () => admin.breakAll(hintChannel),
  connections: () => admin.connections(hintChannel),
}));

test("hints of one database are not heard by the servers of another one on the same Redis", async () => {
  const open = async (of: string) => {
    let received = 0;
    const notifier = new CommitNotifier(redisTransport(TEST_REDIS_URL, of), { onChange: () => undefined });
    await vi.waitUntil(() => notifier.health.connected, { timeout: 20_000 });
    notifier.onNotify(() => {
      received += 1;
    });
    return { notifier, received: () => received };
  };
  const [one, same, other] = [await open(hintChannel), await open(hintChannel), await open(randomUUID())];
  one.notifier.notify();
  await vi.waitUntil(() => same.received() === 1, { timeout: 20_000 });
  expect(other.received()).toBe(0);
  await Promise.all([one, same, other].map(({ notifier }) => notifier.close()));
});
