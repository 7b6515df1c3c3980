import pg from "pg";
import { expect, test, vi } from "vitest";
import { z } from "zod";
import { blocksOf, readText, sectionOf } from "../support/documents.ts";
import { untilTestEnds } from "./cleanup.ts";
import { Cluster } from "./cluster.ts";
import {
  cancel,
  expectWell,
  follow,
  inDatabase,
  type LoggingServer,
  MANY,
  setQuota,
  startServer,
  submitMany,
  usage,
} from "./running.ts";

/** A PostgreSQL server that others use, too: what is open in their databases holds nothing back here. */

const GRANTS = blocksOf(sectionOf(readText("docs/operating.md"), "## Roles"))[0]?.text ?? "";

async function openTransaction(url: string): Promise<pg.Client> {
  const client = untilTestEnds(new pg.Client({ connectionString: url }), (each) => each.end());
  client.on("error", () => undefined);
  await client.connect();
  await client.query("BEGIN; SELECT pg_current_xact_id()");
  return client;
}

const health = z.object({ status: z.string(), feed: z.object({ heldBackBy: z.string().nullable() }) });
const heldBackBy = async (running: LoggingServer) => health.parse(await running.get("/health")).feed.heldBackBy;
const untilHeldBackBy = (running: LoggingServer, whom: RegExp) =>
  vi.waitFor(async () => expect(await heldBackBy(running)).toMatch(whom), { timeout: 20_000, interval: 200 });

test("transactions that are open or prepared in another database hold nothing back, for a role without rights either; those of this one do", async () => {
  const postgres = untilTestEnds(await Cluster.create({ max_prepared_transactions: "5" }), (each) =>
    each.stop("immediate"),
  );
  const [database, other] = [await postgres.createDatabase(), await postgres.createDatabase()];
  await (await startServer({ DATABASE_URL: postgres.url(database) })).close();
  await postgres.sql(GRANTS, database);
  const foreign = await openTransaction(postgres.url(other));
  await postgres.sql("CREATE TABLE t (); BEGIN; CREATE TABLE u (); PREPARE TRANSACTION 'theirs'", other);

  const env = { DATABASE_URL: postgres.url(database, "jobs_server"), MIGRATE: "off" };
  const running = untilTestEnds(await startServer(env), (each) => each.close());
  await setQuota(running.url, MANY);
  await using subscriber = follow(running.url);
  const ids = await submitMany(running.url, 5);
  const submittedAt = performance.now();
  await subscriber.until((seen) => seen.length >= 5);
  expect(performance.now() - submittedAt).toBeLessThan(1_000);
  await vi.waitUntil(async () => (await inDatabase(running, ({ jobTotal }) => jobTotal.count())) > 0, 20_000);
  expect(await usage(running.url)).toEqual({ quotas: [{ used: 5, max: MANY }], aiJobStats: { total: 5 } });
  expect(await running.get("/health")).toMatchObject({
    status: "ok",
    feed: { behindMs: 0, oldestTransactionMs: 0, heldBackBy: null },
  });

  await postgres.sql("BEGIN; CREATE TABLE theirs (); PREPARE TRANSACTION 'ours'", database);
  await cancel(running.url, ids[0] ?? "");
  await untilHeldBackBy(running, /^prepared transaction ours of database \w+, open for \d+ ms$/);
  expect(subscriber.seen).toHaveLength(5);
  await postgres.sql("ROLLBACK PREPARED 'ours'", database);
  await subscriber.until((seen) => seen.length >= 6);

  const own = await openTransaction(postgres.url(database));
  await cancel(running.url, ids[1] ?? "");
  await untilHeldBackBy(
    running,
    /^process \d+ \(no name\) of database \w+, since a time that GRANT pg_read_all_stats TO jobs_server/,
  );
  expect(subscriber.seen).toHaveLength(6);
  await own.query("COMMIT");
  await subscriber.until((seen) => seen.length >= 7);
  await foreign.query("COMMIT");
  await postgres.sql("COMMIT PREPARED 'theirs'", other);
  expect(subscriber.seen.map(({ job, version }) => `${job.jobId} ${version}`)).toEqual(
    [...ids, ids[0], ids[1]].map((id, at) => `${id} ${at < 5 ? 1 : 2}`),
  );
  await expectWell(running, 5);
});

test("a standby, whose snapshots list no open ids, reads below the oldest of all databases", async () => {
  const primary = untilTestEnds(await Cluster.create(), (each) => each.stop("immediate"));
  const database = await primary.createDatabase();
  await (await startServer({ DATABASE_URL: primary.url(database) })).close();
  const standby = untilTestEnds(await primary.standby(), (each) => each.stop("immediate"));
  const own = await openTransaction(primary.url(database));
  await own.query("CREATE TABLE t ()");
  await primary.sql("CREATE TABLE u ()", database);
  const state = "SELECT pg_current_snapshot()::text AS snapshot, log_watermark()::text AS watermark";
  await vi.waitFor(
    async () => {
      const [row] = await standby.sql<{ snapshot: string; watermark: string }>(state, database);
      expect(row?.snapshot).toMatch(new RegExp(`^${row?.watermark}:[0-9]+:$`));
      expect(Number(row?.snapshot.split(":")[1])).toBeGreaterThan(Number(row?.watermark));
    },
    { timeout: 20_000, interval: 200 },
  );
});
