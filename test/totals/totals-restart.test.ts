import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readConfig } from "../../src/config.ts";
import { openDatabase } from "../../src/db/open.ts";
import { start } from "../../src/start.ts";
import { foldTotals } from "../../src/totals/fold.ts";
import { engineOn, started, submitted } from "../support/engine.ts";
import { expectExact, foldAll, foldedJobs } from "../support/totals.ts";

let path: string;
beforeAll(async () => {
  path = await mkdtemp(join(tmpdir(), "ai-job-server-totals-"));
});
afterAll(() => rm(path, { recursive: true }));

test("a server folds by itself, again and again", async () => {
  const config = readConfig({ DATABASE_URL: "memory:", PORT: "0" });
  const server = await start(config, pino({ level: "silent" }));
  const { database } = server;
  const folded = async (jobs: number) => {
    await expect.poll(() => foldedJobs(database.prisma), { timeout: 20_000, interval: 50 }).toBe(jobs);
  };
  await submitted(engineOn(database));
  await folded(1);
  await submitted(engineOn(database));
  await folded(2);
  await server.close();
});

test("a fold goes on after a restart where it had come to", async () => {
  const first = await openDatabase({ kind: "folder", path });
  await submitted(engineOn(first));
  await foldAll(first.prisma);
  await started(engineOn(first));
  await submitted(engineOn(first));
  const before = await expectExact(first.prisma);
  await first.close();

  const second = await openDatabase({ kind: "folder", path });
  expect(await expectExact(second.prisma)).toEqual(before);
  expect(await foldedJobs(second.prisma)).toBe(1);
  await submitted(engineOn(second));
  // What came after the first fold: two submits and a start, and then one more.
  expect(await foldTotals(second.prisma)).toBe(4);
  expect(await foldedJobs(second.prisma)).toBe(4);
  await expectExact(second.prisma);
  await second.close();
});
