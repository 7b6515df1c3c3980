import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { openDatabase } from "../../src/db/open.ts";
import { within } from "../../src/db/scope.ts";
import { start } from "../../src/start.ts";
import { aggregateTotals } from "../../src/totals/aggregate.ts";
import { EVERYWHERE, engineOn, started, submitted } from "../support/engine.ts";
import { aggregateAll, aggregatedJobs, expectExact } from "../support/totals.ts";

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "ai-job-server-totals-"));
});
afterAll(() => rm(path, { recursive: true }));

test("a server aggregates by itself, again and again", async () => {
  const config = readConfig({ DATABASE_URL: "memory:", PORT: "0" });
  const server = await start(config, pino({ level: "silent" }));
  const { database } = server;
  const aggregated = async (jobs: number) => {
    await expect
      .poll(() => within(EVERYWHERE, () => aggregatedJobs(database.prisma)), { timeout: 20_000, interval: 50 })
      .toBe(jobs);
  };
  await submitted(engineOn(database));
  await aggregated(1);
  await submitted(engineOn(database));
  await aggregated(2);
  await server.close();
});

test("an aggregation goes on after a restart where it had come to", async () => {
  const first = await openDatabase({ kind: "folder", path });
  await submitted(engineOn(first));
  await within(EVERYWHERE, () => aggregateAll(first.prisma));
  await started(engineOn(first));
  await submitted(engineOn(first));
  const before = await within(EVERYWHERE, () => expectExact(first.prisma));
  await first.close();

  const second = await openDatabase({ kind: "folder", path });
  expect(await within(EVERYWHERE, () => expectExact(second.prisma))).toEqual(before);
  expect(await within(EVERYWHERE, () => aggregatedJobs(second.prisma))).toBe(1);
  await submitted(engineOn(second));
  // What came after the first aggregation: two submits and a start, and then one more.
  expect(await aggregateTotals(second.prisma)).toBe(4);
  expect(await within(EVERYWHERE, () => aggregatedJobs(second.prisma))).toBe(4);
  await within(EVERYWHERE, () => expectExact(second.prisma));
  await second.close();
});
