import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, test } from "vitest";
import { redisTransport } from "../../src/live/notifier-redis.ts";
import { openTestDatabase } from "../support/database.ts";
import { startProxy } from "../support/interrupt.ts";
import { redisAdmin, TEST_REDIS_URL } from "../support/redis.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { stress } from "../support/stress.ts";

afterEach(killSpawned);

test("with Redis, which goes away as well: whatever breaks, every subscriber's record is the log", async () => {
  const db = await openTestDatabase();
  const { hintChannel } = await db.prisma.eventLog.findFirstOrThrow();
  const proxy = await startProxy(TEST_REDIS_URL);
  await using admin = await redisAdmin();
  await stress(db, {
    env: { REDIS_URL: proxy.url },
    transport: redisTransport(proxy.url, hintChannel),
    break: async () => {
      if (Math.random() < 0.5) {
        await admin.breakAll(hintChannel);
        return;
      }
      proxy.refuse();
      proxy.cut();
      await sleep(Math.random() * 1000);
      proxy.allow();
    },
  });
  await proxy.close();
  await db.close();
}, 900_000);
