import { afterAll, beforeAll, expect, test } from "vitest";
import { diagnose } from "../../src/cli/doctor/findings.ts";
import { ownRedis } from "../support/redis-server.ts";

/** What `doctor` finds of Redis. No database is needed for that, only the address of one: Redis is for servers on PostgreSQL. */

const redis = await ownRedis();
beforeAll(() => redis.start());
afterAll(() => redis.kill());

const finding = async (REDIS_URL: string) => {
  const env = { PORT: "0", DATABASE_URL: "postgres://nobody@127.0.0.1:1/nothing", REDIS_URL };
  return (await diagnose(env)).find(({ check }) => check === "redis");
};

test("one that answers is well; one that lets nobody in, says nothing or is away is named, with what to do", async () => {
  expect(await finding(redis.url)).toMatchObject({ state: "ok" });
  const denied = await finding(redis.url.replace("//", "//nobody:wrong@"));
  redis.pause();
  const silent = await finding(redis.url);
  redis.resume();
  await redis.kill();
  const away = await finding(redis.url);
  for (const found of [denied, silent, away])
    expect(found).toMatchObject({
      state: "warning",
      text: expect.stringMatching(/Start it, or correct the address\./),
    });
  expect(away?.text).toContain("ECONNREFUSED");
  for (const found of [denied, silent, away]) expect(found?.text).not.toContain("wrong@");
});
