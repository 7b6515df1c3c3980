import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { startProxy } from "../support/interrupt.ts";
import { untilTestEnds } from "./cleanup.ts";
import { Cluster, postgresProgram, userFolder } from "./cluster.ts";
import { cancel, expectWhole, follow, newEpochs, setQuota, startServer, submit, submitMany, usage } from "./running.ts";

/** Failovers, restores and copies with real PostgreSQL servers: nothing is silent, and totals and quotas are exact. */

const stop = (each: Cluster) => each.stop("immediate");
const cluster = async (settings: Readonly<Record<string, string>> = {}) =>
  untilTestEnds(await Cluster.create(settings), stop);
const server = async (url: string) => untilTestEnds(await startServer({ DATABASE_URL: url }), (each) => each.close());
const EXPIRED = /CURSOR_EXPIRED|does not go on/;

test("a standby that lagged is promoted: subscribers hear CURSOR_EXPIRED, and what comes is told, counted and chained", async () => {
  const primary = await cluster();
  const database = await primary.createDatabase();
  const proxy = untilTestEnds(await startProxy(primary.url(database)), (each) => each.close());
  const running = await server(proxy.url);
  await setQuota(running.url, 100);
  await submitMany(running.url, 5);
  const standby = untilTestEnds(await primary.standby(), stop);
  await vi.waitUntil(
    async () => {
      const [row] = await primary.sql<{ caught: boolean }>(
        "SELECT replay_lsn = pg_current_wal_lsn() AS caught FROM pg_stat_replication",
      );
      return row?.caught === true;
    },
    { timeout: 30_000, interval: 100 },
  );

  await standby.stop();
  await using subscriber = follow(running.url);
  await submitMany(running.url, 7);
  await subscriber.until((seen) => seen.length >= 12);
  const lost = subscriber.seen.at(-1);
  await primary.stop("immediate");
  await standby.start();
  await standby.promote();
  proxy.moveTo(standby.url(database));

  await expect(subscriber.until(() => false)).rejects.toThrow(EXPIRED);
  await vi.waitUntil(() => newEpochs(running).length > 0, 20_000);
  expect(newEpochs(running)).toMatchObject([{ reason: expect.stringContaining("promoted") }]);
  await vi.waitFor(
    async () =>
      expect(await running.get("/health")).toMatchObject({
        status: "ok",
        log: { reason: expect.stringContaining("promoted") },
      }),
    { timeout: 20_000, interval: 200 },
  );

  await using again = follow(running.url);
  await again.until((seen) => seen.length >= 5);
  const [jobId = ""] = await submitMany(running.url, 2);
  await cancel(running.url, jobId);
  await again.until((seen) => seen.filter(({ job }) => job.jobId === jobId).length === 2);
  await using stale = follow(running.url, lost?.cursor);
  await expect(stale.until(() => false)).rejects.toThrow(EXPIRED);
  expect(await usage(running.url)).toEqual({ quotas: [{ used: 7, max: 100 }], aiJobStats: { total: 7 } });
  await expectWhole(running);
});

test("a synchronous standby is promoted: nothing was lost, no epoch begins, and subscribers hear nothing of it", async () => {
  const primary = await cluster();
  const database = await primary.createDatabase();
  const standby = untilTestEnds(await primary.standby("sync_standby"), stop);
  await primary.sql("ALTER SYSTEM SET synchronous_commit = 'remote_apply'");
  await primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'sync_standby'");
  await primary.sql("SELECT pg_reload_conf()");
  const proxy = untilTestEnds(await startProxy(primary.url(database)), (each) => each.close());
  const running = await server(proxy.url);
  await using subscriber = follow(running.url);
  const before = await submitMany(running.url, 5);
  await subscriber.until((seen) => seen.length >= 5);

  await primary.stop("immediate");
  await standby.promote();
  proxy.moveTo(standby.url(database));
  const after: string[] = [];
  await vi.waitUntil(
    async () => {
      const answer = await submit(running.url).catch(() => "away");
      if (/^[0-9a-f-]{36}$/.test(answer)) after.push(answer);
      return after.length === 3;
    },
    { timeout: 30_000, interval: 100 },
  );
  await subscriber.until((seen) => seen.length >= 8);
  expect(subscriber.seen.map(({ job }) => job.jobId)).toEqual([...before, ...after]);
  expect(newEpochs(running)).toEqual([]);
  await expectWhole(running);
});

test("a dump is restored into a server whose ids lie behind: an epoch begins before anything is written", async () => {
  const source = await cluster();
  const database = await source.createDatabase();
  await source.sql("DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$");
  const old = await startServer({ DATABASE_URL: source.url(database) });
  await setQuota(old.url, 12);
  const subscriber = follow(old.url);
  const submitted = await submitMany(old.url, 10);
  await subscriber.until((seen) => seen.length >= 10);
  const cursor = subscriber.seen.at(-1)?.cursor;
  await subscriber[Symbol.asyncDispose]();
  await old.close();
  const dump = join(await userFolder(), "dump");
  await postgresProgram("pg_dump", "-Fc", "-f", dump, source.url(database));

  const target = await cluster();
  const restored = await target.createDatabase();
  await postgresProgram("pg_restore", "--no-owner", "-d", target.url(restored), dump);
  const running = await server(target.url(restored));
  expect(newEpochs(running)).toMatchObject([{ reason: expect.stringContaining("restored from another server") }]);
  expect(await usage(running.url)).toEqual({ quotas: [{ used: 10, max: 12 }], aiJobStats: { total: 10 } });
  const answers = await submitMany(running.url, 3);
  expect(answers.map((answer) => answer.startsWith("BUDGET_EXCEEDED"))).toEqual([false, false, true]);
  await using stale = follow(running.url, cursor);
  await expect(stale.until(() => false)).rejects.toThrow(EXPIRED);
  await using again = follow(running.url);
  await again.until((seen) => seen.length >= 12);
  const [first = ""] = submitted;
  await cancel(running.url, first);
  await again.until((seen) => seen.some(({ job, version }) => job.jobId === first && version === 2));
  expect(await usage(running.url)).toMatchObject({ aiJobStats: { total: 12 } });
  await expectWhole(running);
  const ahead = await target.sql("SELECT FROM flight_recorder_events WHERE order_xid >= log_watermark()", restored);
  expect(ahead).toEqual([]);
});

test("files that are older than a cursor: it is CURSOR_EXPIRED, also when its ids have been given again; others go on", async () => {
  const source = await cluster();
  const database = await source.createDatabase();
  const old = await startServer({ DATABASE_URL: source.url(database) });
  const kept = follow(old.url);
  await submitMany(old.url, 3);
  await kept.until((seen) => seen.length >= 3);
  const good = kept.seen.at(-1)?.cursor;
  await kept[Symbol.asyncDispose]();
  await old.close();
  await source.stop();
  const copy = untilTestEnds(await source.copyFiles(), stop);
  await source.start();
  const later = await startServer({ DATABASE_URL: source.url(database) });
  const further = follow(later.url, good);
  await submitMany(later.url, 4);
  await further.until((seen) => seen.length >= 4);
  const lost = further.seen.at(-1)?.cursor;
  await further[Symbol.asyncDispose]();
  await later.close();

  await copy.start();
  const running = await server(copy.url(database));
  await using stale = follow(running.url, lost);
  await expect(stale.until(() => false)).rejects.toThrow(EXPIRED);
  const others = await submitMany(running.url, 30);
  await using staleStill = follow(running.url, lost);
  await expect(staleStill.until(() => false)).rejects.toThrow(EXPIRED);
  await using goesOn = follow(running.url, good);
  await goesOn.until((seen) => seen.length >= 30);
  expect(goesOn.seen.map(({ job }) => job.jobId)).toEqual(others);
  await expectWhole(running);
});
