import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { Feed } from "../../src/live/feed.ts";
import { readLag } from "../../src/live/lag.ts";
import { comparePositions, encodeCursor, type LogPosition } from "../../src/log/cursor.ts";
import { readNewEvents } from "../../src/log/read.ts";
import { createPostgresDatabase, openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted, WORKSPACE } from "../support/engine.ts";
import { connectTo } from "../support/interrupt.ts";
import { aggregateAll, expectExact } from "../support/totals.ts";

/** The feed and the totals pass over transactions of other databases of the same PostgreSQL server, and over no other. */

let db: TestDatabase;
let feed: Feed;
let other: { url: string; drop: () => Promise<void> };
beforeAll(async () => {
  [db, other] = await Promise.all([openTestDatabase(), createPostgresDatabase()]);
  feed = new Feed({ database: serverSide(db), pollMs: 20, onError: () => undefined });
});
afterAll(async () => {
  await feed.close();
  await db.close();
  await other.drop();
});

const here = () => connectTo(db.url);
const there = () => connectTo(other.url);

/** Takes an id, for the open transaction or one that ends with it. */
async function takeId(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ id: string }>("SELECT pg_current_xact_id()::text AS id");
  return Number(rows[0]?.id);
}

/** A connection whose transaction has an id and stays open. */
async function withOpenTransaction(client: pg.Client): Promise<pg.Client & { readonly id: number }> {
  await client.query("BEGIN");
  return Object.assign(client, { id: await takeId(client) });
}

/**
 * Waits for a watermark of a new snapshot. Transactions of other tests hold it for a moment, too, where they end while
 * somebody looks.
 */
const untilWatermark = (client: pg.Client, is: (watermark: number) => boolean) =>
  vi.waitUntil(async () => is(await watermark(client)), { timeout: 20_000, interval: 5 });

async function watermark(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ watermark: string }>("SELECT log_watermark()::text AS watermark");
  return Number(rows[0]?.watermark);
}

test("an open transaction of another database holds back neither the feed nor the totals, and lag does not speak of it", async () => {
  const foreign = await withOpenTransaction(await there());
  const subscriber = await feed.subscribe({ workspaceId: WORKSPACE });
  const { jobId } = await submitted(engineOn(db));
  const { value } = await Promise.race([subscriber.next(), sleep(1_000, { value: undefined })]);
  expect(value?.event.jobId).toBe(jobId);
  await subscriber.return();
  await aggregateAll(db.prisma);
  await expectExact(db.prisma);
  await sleep(1_100);
  expect(await readLag(db.prisma)).toEqual({ behindMs: 0, oldestTransactionMs: 0, heldBackBy: null });
  await foreign.end();
});

test("one of this database still does, and is named, while one of another database is older", async () => {
  const foreign = await withOpenTransaction(await there());
  const own = await withOpenTransaction(await here());
  const subscriber = await feed.subscribe({ workspaceId: WORKSPACE });
  const { jobId } = await submitted(engineOn(db));
  const next = subscriber.next();
  expect(await Promise.race([next, sleep(500, "nothing")])).toBe("nothing");
  await vi.waitFor(
    async () => expect((await readLag(db.prisma)).heldBackBy).toMatch(/^process \d+ \(.+\) of database \w+, open for/),
    {
      timeout: 20_000,
      interval: 100,
    },
  );
  await own.end();
  expect((await next).value?.event.jobId).toBe(jobId);
  await subscriber.return();
  await foreign.end();
});

test("an id that nobody can be found for any more holds the watermark of the snapshot that lists it, and only that one", async () => {
  const foreign = await withOpenTransaction(await there());
  const reader = await here();
  await takeId(reader);
  await vi.waitUntil(
    async () => {
      await reader.query("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ");
      return (await watermark(reader)) > foreign.id;
    },
    { timeout: 20_000, interval: 5 },
  );
  await foreign.end();
  await untilWatermark(reader, (held) => held <= foreign.id);
  await reader.query("COMMIT");
  await untilWatermark(reader, (free) => free > foreign.id);
  await reader.end();
});

test("within a transaction, each statement looks anew whose the open ids are, and never passes the transaction's own", async () => {
  const reader = await here();
  const later = await there();
  const first = await withOpenTransaction(await there());
  await reader.query("BEGIN");
  const id = await takeId(reader);
  await takeId(later);
  await untilWatermark(reader, (own) => own === id);
  await first.end();
  await reader.query("COMMIT; BEGIN");
  expect((await reader.query("SELECT count(*)::int FROM pg_stat_activity")).rowCount).toBe(1);
  const foreign = await withOpenTransaction(later);
  const own = await withOpenTransaction(await here());
  const last = await there();
  await takeId(last);
  // Two transactions have begun since the reader saw who is there: the one of this database is not taken for the other's.
  await untilWatermark(reader, (held) => held === own.id);
  await Promise.all([reader, foreign, own, last].map((client) => client.end()));
});

test("a watermark that is lower for a moment ends no subscription, and gives nobody an event twice", async () => {
  await submitted(engineOn(db));
  const last = await lastEvent();
  const lower = "CREATE OR REPLACE FUNCTION log_watermark() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint'";
  const [row] = await db.prisma.$queryRaw<{ text: string }[]>`
    SELECT pg_get_functiondef('log_watermark'::regproc) AS text`;
  await db.prisma.$executeRawUnsafe(lower);
  expect(await readNewEvents(db.prisma, last)).toEqual({ continues: true, events: [] });
  let reads = 0;
  const read = async (...query: Parameters<typeof db.prisma.$queryRaw>) => {
    const rows: unknown = await db.prisma.$queryRaw(...query);
    reads += 1;
    if (reads === 2) await db.prisma.$executeRawUnsafe(row?.text ?? "");
    return rows;
  };
  const prisma = new Proxy(db.prisma, {
    get: (target, key): unknown => (key === "$queryRaw" ? read : Reflect.get(target, key)),
  });
  const later = new Feed({ database: { prisma }, pollMs: 20, onError: () => undefined });
  const resolved = await later.cursors.resolve(encodeCursor(await feed.epoch(), last));
  expect(comparePositions(resolved, last)).toBe(0);
});

/** A further version of a job, by a transaction that stays open for a while after it has its id. */
function touch(jobId: string, holdMs: number): Promise<void> {
  return db.prisma.$transaction(
    async (tx) => {
      await tx.$queryRaw`SELECT pg_current_xact_id()::text`;
      await sleep(holdMs);
      const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
      if (!job) throw new Error("There is no such job.");
      const event = {
        type: "STATE_CHANGED",
        by: { actor: "SYSTEM", actorId: "test", principalId: null },
        payload: { reason: "touched" },
      } as const;
      await writeVersion(tx, { job, set: {}, event });
    },
    { timeout: 20_000 },
  );
}

const lastEvent = () => db.prisma.flightRecorderEvent.findFirstOrThrow({ orderBy: [...NEWEST_FIRST] });
const NEWEST_FIRST = [{ orderXid: "desc" }, { jobId: "desc" }, { version: "desc" }] as const;
const name = ({ jobId, version }: { jobId: string; version: number }) => `${jobId} ${version}`;

/** Reads events as somebody does who reconnects after a few of them, each time from the last cursor. */
async function followWithBreaks(from: LogPosition, isOver: () => Promise<boolean>): Promise<readonly string[]> {
  const seen: string[] = [];
  let position = from;
  for (let round = 0; ; round++) {
    const after = await feed.cursors.resolve(encodeCursor(await feed.epoch(), position));
    const subscriber = await feed.subscribe({ workspaceId: WORKSPACE }, after);
    for (let count = 0; count <= round % 20; count++) {
      const { value } = await Promise.race([subscriber.next(), sleep(2_000, { value: undefined })]);
      if (value) {
        position = value.event;
        seen.push(name(position));
      } else if (await isOver()) {
        await subscriber.return();
        return seen;
      } else throw new Error("No event has come for two seconds.");
    }
    await subscriber.return();
  }
}

test("under many short transactions in both databases, who reconnects again and again gets every event once, in order", {
  timeout: 60_000,
}, async () => {
  const jobs = await Promise.all(Array.from({ length: 6 }, async () => (await submitted(engineOn(db))).jobId));
  const start = await lastEvent();
  let isWriting = true;
  const held = await withOpenTransaction(await there());
  const foreign = Array.from({ length: 4 }, async (_, at) => {
    const client = await there();
    while (isWriting) {
      await client.query("BEGIN; SELECT pg_current_xact_id()");
      await sleep(at * 2);
      await client.query("COMMIT");
    }
    await client.end();
  });
  const writers = jobs.map(async (jobId, at) => {
    while (isWriting) await touch(jobId, at);
  });
  const reading = followWithBreaks(start, async () => !isWriting);
  await sleep(5_000);
  isWriting = false;
  await Promise.all([...foreign, ...writers]);
  const seen = await reading;
  await held.end();
  const events = await db.prisma.flightRecorderEvent.findMany();
  const after = events.toSorted(comparePositions).filter((event) => comparePositions(event, start) > 0);
  expect(seen).toEqual(after.map(name));
  expect(seen.length).toBeGreaterThan(60);
});
