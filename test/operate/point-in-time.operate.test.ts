import { expect, test, vi } from "vitest";
import { blocksOf, readText, sectionOf } from "../support/documents.ts";
import { startProxy } from "../support/interrupt.ts";
import { untilTestEnds } from "./cleanup.ts";
import { Cluster, userFolder } from "./cluster.ts";
import {
  expectWhole,
  follow,
  inDatabase,
  type LoggingServer,
  newEpochs,
  setQuota,
  startServer,
  submit,
  submitMany,
  usage,
} from "./running.ts";

/** Recovery to a point in time, as docs/operating.md says it, while servers and subscribers go on. */

const [ARCHIVING = "", , RECOVERY = ""] = blocksOf(
  sectionOf(readText("docs/operating.md"), "### Recovery to a point in time"),
).map(({ text }) => text);

/** The settings that the document has, with the paths and the time of this run. */
function settings(lines: string, wal: string, time = ""): Record<string, string> {
  const filled = lines.replaceAll("/backups/wal", wal).replace(/(?<=recovery_target_time = ').*(?=')/, time);
  return Object.fromEntries([...filled.matchAll(/^(\w+) = (.*)$/gm)].map(([, name = "", value = ""]) => [name, value]));
}

const stop = (each: Cluster) => each.stop("immediate");
const EXPIRED = /CURSOR_EXPIRED|does not go on/;

async function now(postgres: Cluster): Promise<string> {
  const [row] = await postgres.sql<{ now: string }>("SELECT clock_timestamp()::text AS now");
  return row?.now ?? "";
}

/** Waits until the health of each server tells of the same epoch, with a reason like this. */
function epochOf(servers: readonly LoggingServer[], reason: string): Promise<string> {
  return vi.waitFor(
    async () => {
      const health = await Promise.all(servers.map((server) => server.get("/health")));
      const log = { epoch: expect.any(String), beganAt: expect.any(String), reason: expect.stringContaining(reason) };
      for (const each of health) expect(each).toMatchObject({ status: "ok", log });
      const epochs = new Set(health.map((each) => JSON.stringify(each.log)));
      expect(epochs.size).toBe(1);
      return [...epochs].join();
    },
    { timeout: 20_000, interval: 100 },
  );
}

test("a mistake is undone twice: each time one epoch begins for all, subscribers begin again, and all is counted anew", async () => {
  const wal = await userFolder();
  const primary = untilTestEnds(await Cluster.create(settings(ARCHIVING, wal)), stop);
  const database = await primary.createDatabase();
  const proxy = untilTestEnds(await startProxy(primary.url(database)), (each) => each.close());
  const servers = [];
  for (let count = 0; count < 2; count++)
    servers.push(untilTestEnds(await startServer({ DATABASE_URL: proxy.url }), (each) => each.close()));
  const [one, other] = servers;
  if (!one || !other) throw new Error("There are two servers.");
  await setQuota(one.url, 12);
  await submitMany(one.url, 3);
  const base = await primary.baseBackup();
  await submitMany(one.url, 2);
  const early = await now(primary);
  await submitMany(other.url, 3);
  const late = await now(primary);
  await using subscriber = follow(one.url);
  await using otherSubscriber = follow(other.url);
  await subscriber.until((seen) => seen.length >= 8);
  const kept = subscriber.seen.at(-1)?.cursor;
  const mistake = await submitMany(one.url, 5);
  expect(mistake.map((answer) => answer.startsWith("BUDGET_EXCEEDED"))).toEqual([false, false, false, false, true]);
  await subscriber.until((seen) => seen.length >= 12);
  await otherSubscriber.until((seen) => seen.length >= 12);
  const lost = subscriber.seen.at(-1)?.cursor;
  await vi.waitUntil(async () => (await inDatabase(one, ({ jobTotal }) => jobTotal.count())) > 0, 20_000);

  await primary.archiveAll();
  await primary.stop();
  expect(await one.get("/ready")).toMatchObject({ code: 503 });
  expect(await submit(one.url)).toMatch(/^TRY_AGAIN/);
  const recovered = untilTestEnds(await Cluster.recover(base, settings(RECOVERY, wal, late)), stop);
  proxy.moveTo(recovered.url(database));
  await expect(subscriber.until(() => false)).rejects.toThrow(EXPIRED);
  await expect(otherSubscriber.until(() => false)).rejects.toThrow(EXPIRED);
  await epochOf(servers, "a backup was restored");
  for (const server of servers)
    expect(newEpochs(server)).toMatchObject([{ reason: expect.stringContaining("restored") }]);
  for (const cursor of [kept, lost]) {
    await using stale = follow(one.url, cursor);
    await expect(stale.until(() => false)).rejects.toThrow(EXPIRED);
  }
  expect(await usage(other.url)).toEqual({ quotas: [{ used: 8, max: 12 }], aiJobStats: { total: 8 } });
  await using again = follow(one.url);
  await using otherAgain = follow(other.url);
  const answers = await submitMany(other.url, 5);
  expect(answers.map((answer) => answer.startsWith("BUDGET_EXCEEDED"))).toEqual([false, false, false, false, true]);
  await again.until((seen) => seen.length >= 12);
  expect(await usage(one.url)).toEqual({ quotas: [{ used: 12, max: 12 }], aiJobStats: { total: 12 } });
  await expectWhole(one);

  // That was not early enough. What is recovered now knows nothing of the epoch that began, and has one again that had ended.
  await recovered.stop();
  const earlier = untilTestEnds(await Cluster.recover(base, settings(RECOVERY, wal, early)), stop);
  proxy.moveTo(earlier.url(database));
  await expect(again.until(() => false)).rejects.toThrow(EXPIRED);
  await expect(otherAgain.until(() => false)).rejects.toThrow(EXPIRED);
  await epochOf(servers, "an epoch again that had ended");
  for (const server of servers) expect(newEpochs(server)).toHaveLength(2);
  for (const cursor of [kept, lost, again.seen.at(-1)?.cursor]) {
    await using stale = follow(other.url, cursor);
    await expect(stale.until(() => false)).rejects.toThrow(EXPIRED);
  }
  expect(await usage(one.url)).toEqual({ quotas: [{ used: 5, max: 12 }], aiJobStats: { total: 5 } });
  await using last = follow(other.url);
  const [jobId] = await submitMany(one.url, 2);
  await last.until((seen) => seen.filter((each) => each.job.jobId === jobId).length === 1 && seen.length >= 7);
  await expectWhole(other);
});
