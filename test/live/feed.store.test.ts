import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { CursorExpiredError, InvalidInputError } from "../../src/errors.ts";
import { Feed, type FeedOptions } from "../../src/live/feed.ts";
import type { FeedItem, Subscriber } from "../../src/live/subscriber.ts";
import { decodeCursor, encodeCursor, LOG_START, type LogPosition, positionOf } from "../../src/log/cursor.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { change, insertJob, manyVersions } from "../support/plain-sql.ts";

let db: TestDatabase;
let prisma: PrismaClient;
let feed: Feed;
let errors: unknown[];
beforeAll(async () => {
  db = await openTestDatabase();
  prisma = db.prisma;
});
afterAll(() => db.close());
beforeEach(() => {
  errors = [];
  feed = newFeed();
});
afterEach(() => feed.close());

function newFeed(more: Partial<FeedOptions> = {}): Feed {
  return new Feed({ database: serverSide(db), pollMs: 20, onError: (error) => errors.push(error), ...more });
}

interface Made {
  readonly jobId: string;
  readonly workspaceId: string;
  /** The place after its first event. */
  readonly first: LogPosition;
}

/** A new job, in a workspace of its own, so that nobody else's events are in its scope. */
async function aJob(workspaceId: string = randomUUID()): Promise<Made> {
  const jobId = randomUUID();
  await prisma.$executeRaw`INSERT INTO workspaces (workspace_id) VALUES (${workspaceId}::uuid) ON CONFLICT DO NOTHING`;
  await prisma.$transaction((tx) => insertJob(tx, jobId, { job: { workspace_id: `'${workspaceId}'` } }));
  return { jobId, workspaceId, first: positionOf(await prisma.aiJob.findUniqueOrThrow({ where: { jobId } })) };
}

function touch(jobId: string): Promise<void> {
  return prisma.$transaction((tx) => change(tx, jobId, "queued"));
}

/** What retention does when it has let go of older events; tests also take it back, which the database refuses. */
async function keepFrom(orderXid: bigint): Promise<void> {
  await prisma.$transaction(async (tx) => {
    await tx.$executeRaw`SET LOCAL session_replication_role = replica`;
    await tx.eventLog.updateMany({ data: { keptFrom: orderXid } });
  });
}

async function take(subscriber: Subscriber, count: number): Promise<readonly FeedItem[]> {
  const items: FeedItem[] = [];
  while (items.length < count) {
    const { value } = await subscriber.next();
    if (!value) throw new Error(`It ended after ${items.length} items.`);
    items.push(value);
  }
  return items;
}

function versions(items: readonly FeedItem[]): readonly number[] {
  return items.map(({ event }) => event.version);
}

/** 1, 2, 3 ... */
function upTo(count: number, from = 1): readonly number[] {
  return Array.from({ length: count - from + 1 }, (_, index) => from + index);
}

describe("a subscriber", () => {
  test("gets every event of its job after its place, once, in order, with the job", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const subscriber = await feed.subscribe({ workspaceId, jobId }, first);
    for (let version = 2; version <= 5; version++) await touch(jobId);
    const items = await take(subscriber, 4);
    expect(versions(items)).toEqual([2, 3, 4, 5]);
    for (const { event, job } of items) {
      expect(event.jobId).toBe(jobId);
      expect(job).toEqual({
        jobId,
        traceId: expect.any(String),
        jobKind: "DOC_SUMMARIZE",
        protocolId: "plain-sql",
        capabilityProfileId: "default",
        parentJobId: null,
        rootJobId: null,
        idempotencyKey: null,
        labels: null,
        submittedBy: "plain SQL",
        createdAt: expect.any(Date),
      });
    }
  });

  test("that names no place gets what is recorded from then on", async () => {
    const { jobId, workspaceId } = await aJob();
    const subscriber = await feed.subscribe({ workspaceId, jobId });
    await touch(jobId);
    await touch(jobId);
    const items = await take(subscriber, 2);
    // A transaction of somebody else that was still open keeps the first one above the place where it begins.
    const seen = versions(items)[0] === 1 ? [...items, ...(await take(subscriber, 1))] : items;
    expect(versions(seen).slice(-2)).toEqual([2, 3]);
  });

  test("of a job gets nothing of another one, and of a workspace nothing of another one", async () => {
    const one = await aJob();
    const two = await aJob(one.workspaceId);
    const elsewhere = await aJob();
    const ofJob = await feed.subscribe({ workspaceId: one.workspaceId, jobId: one.jobId }, one.first);
    const ofWorkspace = await feed.subscribe({ workspaceId: one.workspaceId }, two.first);
    const ofNone = await feed.subscribe({ workspaceId: elsewhere.workspaceId, jobId: one.jobId }, one.first);
    const none = ofNone.next();
    for (const { jobId } of [elsewhere, two, one, elsewhere, one]) await touch(jobId);
    expect((await take(ofJob, 2)).map(({ event }) => [event.jobId, event.version])).toEqual([
      [one.jobId, 2],
      [one.jobId, 3],
    ]);
    expect((await take(ofWorkspace, 3)).map(({ event }) => event.jobId)).toEqual([two.jobId, one.jobId, one.jobId]);
    await ofNone.return();
    expect(await none).toEqual({ done: true, value: undefined });
  });

  test("that is slow shares what was read for a fast one, and the log is not read again", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const fast = await feed.subscribe({ workspaceId }, first);
    const slow = await feed.subscribe({ workspaceId }, first);
    await touch(jobId);
    await take(fast, 1);
    await take(slow, 1);
    await manyVersions(prisma, jobId, 300);
    expect(versions(await take(fast, 300))).toEqual(upTo(302, 3));
    await quiet();
    expect(versions(await take(slow, 300))).toEqual(upTo(302, 3));
    expect(readsOfItsOwn()).toBe(0);
  });

  test("that fell behind the window gets every event once, in order, from the log", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const small = newFeed({ maxBufferedEvents: 500 });
    const fast = await small.subscribe({ workspaceId }, first);
    const slow = await small.subscribe({ workspaceId }, first);
    await touch(jobId);
    await take(slow, 1);
    const reading = take(fast, 1401);
    for (let part = 0; part < 4; part++) await manyVersions(prisma, jobId, 350);
    expect(versions(await reading)).toEqual(upTo(1402, 2));
    await quiet();
    expect(versions(await take(slow, 700))).toEqual(upTo(702, 3));
    // More comes while it still reads what it missed.
    await touch(jobId);
    expect(versions(await take(slow, 701))).toEqual(upTo(1403, 703));
    expect(readsOfItsOwn()).toBeGreaterThanOrEqual(9);
    // It has caught up: what comes now it shares with the others again.
    await touch(jobId);
    await take(fast, 2);
    await quiet();
    expect(versions(await take(slow, 1))).toEqual([1404]);
    expect(readsOfItsOwn()).toBe(0);
    await small.close();
  });

  test("of some events only, that fell behind, passes over the others", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const small = newFeed({ maxBufferedEvents: 100 });
    const wants = ({ event }: FeedItem) => event.version % 100 === 0;
    const fast = await small.subscribe({ workspaceId }, first);
    const slow = await small.subscribe({ workspaceId, matches: wants }, first);
    const reading = take(fast, 650);
    for (let part = 0; part < 13; part++) await manyVersions(prisma, jobId, 50);
    await reading;
    expect(versions(await take(slow, 6))).toEqual([100, 200, 300, 400, 500, 600]);
    await manyVersions(prisma, jobId, 50);
    expect(versions(await take(slow, 1))).toEqual([700]);
    await small.close();
  });

  test("that fell behind what retention has let go is told so, and is not given the rest", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const small = newFeed({ maxBufferedEvents: 10 });
    const fast = await small.subscribe({ workspaceId }, first);
    const slow = await small.subscribe({ workspaceId }, first);
    const reading = take(fast, 60);
    for (let part = 0; part < 3; part++) await manyVersions(prisma, jobId, 20);
    await reading;
    await keepFrom((await feed.watermark()).orderXid);
    try {
      await expect(slow.next()).rejects.toMatchObject({ code: "CURSOR_EXPIRED" });
    } finally {
      await keepFrom(0n);
    }
    await small.close();
  });

  test("that reads the log by itself waits for a database that is away", async () => {
    const { jobId, workspaceId, first } = await aJob();
    await touch(jobId);
    const subscriber = await feed.subscribe({ workspaceId }, first);
    await prisma.$executeRaw`ALTER TABLE flight_recorder_events RENAME TO away`;
    const item = take(subscriber, 1);
    try {
      await vi.waitUntil(() => errors.length > 0);
    } finally {
      await prisma.$executeRaw`ALTER TABLE away RENAME TO flight_recorder_events`;
    }
    expect(versions(await item)).toEqual([2]);
  });

  test("that leaves while it stands in line to read the log itself reads nothing", async () => {
    const { jobId, workspaceId, first } = await aJob();
    await touch(jobId);
    const subscribers = await Promise.all(Array.from({ length: 50 }, () => feed.subscribe({ workspaceId }, first)));
    await quiet();
    const items = subscribers.map((subscriber) => subscriber.next());
    for (const subscriber of subscribers) await subscriber.return();
    expect(await Promise.all(items)).toEqual(subscribers.map(() => ({ done: true, value: undefined })));
    expect(readsOfItsOwn()).toBeLessThan(10);
  });

  test("that stands in line to read the log itself when the server stops keeps its place: it goes on elsewhere", async () => {
    const { jobId, workspaceId, first } = await aJob();
    await touch(jobId);
    const subscribers = await Promise.all(Array.from({ length: 50 }, () => feed.subscribe({ workspaceId }, first)));
    const items = subscribers.map((subscriber) => subscriber.next());
    await feed.close();
    const given = (await Promise.all(items)).map(({ value }) => value?.event.version ?? first.version);
    expect(given).toContain(first.version);
    expect(subscribers.map(({ position }) => position.version)).toEqual(given);
    expect(new Set(subscribers.map(({ position }) => position.orderXid)).size).toBe(new Set(given).size);
  });

  test("that comes back with the place of what it had gets what came after, once, from another server, too", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const subscriber = await feed.subscribe({ workspaceId, jobId }, first);
    await touch(jobId);
    const [second] = await take(subscriber, 1);
    if (!second) throw new Error("There is no second event.");
    await subscriber.return();
    await touch(jobId);
    await feed.close();

    const other = newFeed();
    const cursor = encodeCursor(await other.epoch(), second.event);
    const again = await other.subscribe({ workspaceId, jobId }, await other.cursors.resolve(cursor, jobId));
    await touch(jobId);
    expect(versions(await take(again, 2))).toEqual([3, 4]);
    await other.close();
  });

  test("that skips to a place gets what comes after it", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const subscriber = await feed.subscribe({ workspaceId, jobId }, first);
    await touch(jobId);
    await touch(jobId);
    const { orderXid } = await prisma.aiJob.findUniqueOrThrow({ where: { jobId } });
    const event = await prisma.flightRecorderEvent.findUniqueOrThrow({
      where: { jobId_version: { jobId, version: 2 } },
    });
    subscriber.skipTo(event);
    subscriber.skipTo(first);
    const items = await take(subscriber, 1);
    expect(versions(items)).toEqual([3]);
    expect(items[0]?.event.orderXid).toBe(orderXid);
  });
});

describe("a cursor", () => {
  test("names the place after its event", async () => {
    const { jobId } = await aJob();
    const event = await prisma.flightRecorderEvent.findUniqueOrThrow({
      where: { jobId_version: { jobId, version: 1 } },
    });
    const { orderXid, version, hash } = event;
    expect(await feed.cursors.resolve(encodeCursor(await feed.epoch(), event), jobId)).toEqual({
      orderXid,
      jobId,
      version,
      hash: hash.slice(0, 16),
    });
  });

  test("from before what retention has kept is CURSOR_EXPIRED, and one from after it is not", async () => {
    const { jobId, first } = await aJob();
    const cursor = encodeCursor(await feed.epoch(), first);
    await keepFrom(first.orderXid + 1n);
    try {
      await expect(feed.cursors.resolve(cursor, jobId)).rejects.toThrow(CursorExpiredError);
      await keepFrom(first.orderXid);
      expect(await feed.cursors.resolve(cursor, jobId)).toMatchObject({ jobId, version: first.version });
    } finally {
      await keepFrom(0n);
    }
  });

  test("of the horizon is one", async () => {
    const horizon = await feed.watermark();
    const { orderXid, jobId, version } = horizon;
    expect(await feed.cursors.resolve(encodeCursor(await feed.epoch(), horizon))).toMatchObject({
      orderXid,
      jobId,
      version,
    });
  });

  test.each([
    ["nothing", ""],
    ["a word", "hello, world"],
    ["another format", "MSAx"],
    ["no text at all", "\u{1f642}"],
    ["very long", "a".repeat(100_000)],
  ])("that is malformed is INVALID_INPUT: %s", async (_, cursor) => {
    const refused = feed.cursors.resolve(cursor);
    await expect(refused).rejects.toThrow(InvalidInputError);
    await expect(refused).rejects.toMatchObject({ code: "INVALID_INPUT", inputPath: ["after"] });
  });

  test.each([1_000_000, 10 ** 15])(
    "that is ahead of the log, by %d, is CURSOR_EXPIRED: its event is not there",
    async (ahead) => {
      const { orderXid } = await feed.watermark();
      const cursor = encodeCursor(await feed.epoch(), {
        orderXid: orderXid + BigInt(ahead),
        jobId: randomUUID(),
        version: 1,
        hash: "0".repeat(64),
      });
      await expect(feed.cursors.resolve(cursor)).rejects.toThrow(CursorExpiredError);
    },
  );

  test("of another database is CURSOR_EXPIRED, even one that is ahead", async () => {
    const place = { orderXid: 10n ** 15n, jobId: randomUUID(), version: 1, hash: "0".repeat(64) };
    const refused = feed.cursors.resolve(encodeCursor(randomUUID(), place));
    await expect(refused).rejects.toThrow(CursorExpiredError);
    await expect(refused).rejects.toMatchObject({ code: "CURSOR_EXPIRED" });
  });

  test("before the first event of the log is good for as long as nothing was removed, and there is none beyond the log", async () => {
    const epoch = await feed.epoch();
    expect(await feed.cursors.resolve(encodeCursor(epoch, LOG_START))).toEqual(LOG_START);
    const beyond = { ...LOG_START, orderXid: 10n ** 15n };
    await expect(feed.cursors.resolve(encodeCursor(epoch, beyond))).rejects.toThrow(CursorExpiredError);
  });

  test("carries the epoch that the database has", async () => {
    const [row] = await prisma.$queryRaw<{ epoch: string }[]>`SELECT epoch::text FROM event_log`;
    const cursor = encodeCursor(await feed.epoch(), await feed.watermark());
    expect(decodeCursor(cursor)?.epoch).toBe(row?.epoch);
  });
});

describe("the reader", () => {
  test("reads nothing while nobody subscribes", async () => {
    const { jobId } = await aJob();
    await quiet();
    feed.notify();
    await touch(jobId);
    expect(readsOfTheLog()).toBe(0);
  });

  test("is still while nothing happens: it looks at the log every poll interval, no more often", async () => {
    const still = newFeed({ pollMs: 60_000 });
    const subscriber = await still.subscribe({ workspaceId: randomUUID() });
    await quiet();
    // The interval doubles from 10 ms on: a thousand round trips would see hundreds of reads of one that spins.
    for (let trip = 0; trip < 300; trip++) await prisma.$queryRaw`SELECT 1`;
    expect(readsOfTheLog()).toBeLessThan(20);
    await subscriber.return();
    await still.close();
  });

  test("reads at once when it is woken, whatever the poll interval", async () => {
    const asleep = newFeed({ pollMs: 60_000 });
    const { jobId, workspaceId, first } = await aJob();
    const subscriber = await asleep.subscribe({ workspaceId, jobId }, first);
    await vi.waitUntil(async () => {
      await quiet();
      return readsOfTheLog() === 0;
    });
    await touch(jobId);
    asleep.notify();
    expect(versions(await take(subscriber, 1))).toEqual([2]);
    await asleep.close();
  });

  test("stops when the last subscriber has gone, and begins again with the next one", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const one = await feed.subscribe({ workspaceId }, first);
    const two = await feed.subscribe({ workspaceId }, first);
    await touch(jobId);
    await take(one, 1);
    await one.return();
    await touch(jobId);
    expect(versions(await take(two, 2))).toEqual([2, 3]);
    await two.return();
    await vi.waitUntil(async () => {
      await quiet();
      feed.notify();
      return readsOfTheLog() === 0;
    });
    await touch(jobId);
    feed.notify();
    await prisma.$queryRaw`SELECT 1`;
    expect(readsOfTheLog()).toBe(0);

    const three = await feed.subscribe({ workspaceId }, first);
    expect(versions(await take(three, 3))).toEqual([2, 3, 4]);
  });

  test("goes on from the same place after the database was away", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const subscriber = await feed.subscribe({ workspaceId }, first);
    await prisma.$executeRaw`ALTER TABLE flight_recorder_events RENAME TO away`;
    try {
      await vi.waitUntil(() => errors.length > 0);
    } finally {
      await prisma.$executeRaw`ALTER TABLE away RENAME TO flight_recorder_events`;
    }
    await touch(jobId);
    expect(versions(await take(subscriber, 1))).toEqual([2]);
  });
});

describe("a subscription that ends", () => {
  test("by its subscriber's own wish, while it waits, is done", async () => {
    const subscriber = await feed.subscribe({ workspaceId: randomUUID() });
    const waiting = subscriber.next();
    expect(await subscriber.return()).toEqual({ done: true, value: undefined });
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(await subscriber.next()).toEqual({ done: true, value: undefined });
  });

  test("by leaving a loop is done, too", async () => {
    const { jobId, workspaceId, first } = await aJob();
    const subscriber = await feed.subscribe({ workspaceId }, first);
    await touch(jobId);
    for await (const item of subscriber) {
      expect(item.event.version).toBe(2);
      break;
    }
    expect(await subscriber.next()).toEqual({ done: true, value: undefined });
  });

  test("with the feed is done, and so is one that comes later", async () => {
    const workspaceId = randomUUID();
    const subscriber = await feed.subscribe({ workspaceId });
    const waiting = subscriber.next();
    await feed.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    const late = await feed.subscribe({ workspaceId });
    expect(await late.next()).toEqual({ done: true, value: undefined });
  });
});

/** Forgets every statement up to now, when those under way have been sent. */
async function quiet(): Promise<void> {
  await prisma.$queryRaw`SELECT 1`;
  db.statements();
}

function readsOfTheLog(): number {
  return readsIn(db.statements()).length;
}

/** Reads by a subscriber that is behind, which know where to end, and not by the feed, which reads to the newest. */
function readsOfItsOwn(): number {
  return readsIn(db.statements()).filter((sql) => !sql.includes("log_watermark")).length;
}

function readsIn(statements: readonly string[]): readonly string[] {
  return statements.filter((sql) => /FROM flight_recorder_events\s+WHERE \(order_xid, job_id, version\) >/.test(sql));
}
