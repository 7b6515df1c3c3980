import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { FlightRecorderEvent } from "../../src/db/generated/client/client.ts";
import type { EngineContext } from "../../src/engine.ts";
import { CursorExpiredError, TryAgainError } from "../../src/errors.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { beginEpoch } from "../../src/live/epoch.ts";
import { Feed } from "../../src/live/feed.ts";
import type { Subscriber } from "../../src/live/subscriber.ts";
import { encodeCursor, positionOf } from "../../src/log/cursor.ts";
import { hashEvent } from "../../src/log/hash.ts";
import type { LogState } from "../../src/log/read.ts";
import { listQuotas, setQuota } from "../../src/quotas/quota.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { backUp, loseAfter, onBusyServer, onFreshServer, restore } from "../support/moved-back.ts";
import { aggregateAll, expectExact } from "../support/totals.ts";

/** The log after a failover, a restore or a copy: it goes on only where its last event still stands (section 10). */

let db: TestDatabase;
let engine: EngineContext;
let feed: Feed;
let epochs: LogState[];
let errors: unknown[];
function begin(): void {
  engine = engineOn(db, { notifyCommit: () => feed.notify() });
  epochs = [];
  errors = [];
  feed = newFeed();
}

async function end(): Promise<void> {
  await feed.close();
  if (errors.length > 0) throw new Error("The log could not be read.", { cause: errors[0] });
}

/** One database for the tests of a group, each of which has a server of its own. */
function onOneDatabase(): void {
  beforeAll(async () => {
    db = await openTestDatabase();
  });
  afterAll(() => db.close());
  beforeEach(begin);
  afterEach(end);
}

function newFeed(): Feed {
  return new Feed({
    database: serverSide(db),
    pollMs: 20,
    onError: (error) => errors.push(error),
    onNewEpoch: (state) => epochs.push(state),
  });
}

/** Reads on until the subscription ends. @returns the versions that came, and how it ended. */
function follow(subscriber: Subscriber) {
  const seen: string[] = [];
  const ended = (async () => {
    for await (const { event } of subscriber) seen.push(`${event.jobId} ${event.version}`);
  })().then(
    () => "complete",
    (error: unknown) => error,
  );
  return { seen, ended };
}

async function expectWholeChain(): Promise<void> {
  const events = await db.prisma.flightRecorderEvent.findMany({ orderBy: [{ jobId: "asc" }, { version: "asc" }] });
  const recomputed = ({ hash: _stored, ...event }: FlightRecorderEvent) => hashEvent(event);
  expect(events.map(recomputed)).toEqual(events.map(({ hash }) => hash));
}

async function lastPosition() {
  return db.prisma.flightRecorderEvent.findFirstOrThrow({
    orderBy: [{ orderXid: "desc" }, { jobId: "desc" }, { version: "desc" }],
  });
}

describe("where ids that were stored lie ahead of the server's own, as after a restore into another server", () => {
  beforeEach(async () => {
    db = await openTestDatabase();
    begin();
    await onBusyServer(db.prisma);
    await setQuota(engine, WORKSPACE, { capabilityProfileId: null, resource: "JOBS", max: 5, windowSeconds: 3600 });
    for (let count = 0; count < 4; count++) await submitted(engine);
    await aggregateAll(db.prisma);
    await onFreshServer(db.prisma);
  });
  afterEach(async () => {
    await end();
    await db.close();
  });

  test("nothing is written until a new epoch has begun, and the caller is told to try again", async () => {
    await expect(submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit())).rejects.toThrow(TryAgainError);
    const job = await db.prisma.aiJob.findFirstOrThrow();
    await expect(
      cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: job.jobId, reason: "no longer wanted" }),
    ).rejects.toThrow(TryAgainError);
    expect(await db.prisma.aiJob.count()).toBe(4);
    expect(await db.prisma.flightRecorderEvent.count()).toBe(4);
  });

  test("the first look begins one; what is written then lies after everything stored, and nothing is rewritten", async () => {
    const stored = await db.prisma.flightRecorderEvent.findMany({ orderBy: { hash: "asc" } });
    const before = await lastPosition();
    expect(await feed.continuity.check()).toBe(false);
    const job = await submitted(engine);
    expect(job.orderXid).toBeGreaterThan(before.orderXid);
    const still = await db.prisma.flightRecorderEvent.findMany({
      where: { hash: { in: stored.map(({ hash }) => hash) } },
      orderBy: { hash: "asc" },
    });
    expect(still).toEqual(stored);
    await expectWholeChain();
  });

  test("totals and quotas are counted anew, and go on exactly", async () => {
    await feed.continuity.check();
    await expectExact(db.prisma);
    await submitted(engine);
    expect(await submitAiJob(engine, WORKSPACE, SOMEBODY, aSubmit())).toMatchObject({ code: "BUDGET_EXCEEDED" });
    expect(await listQuotas(db.prisma, WORKSPACE)).toMatchObject([{ used: 5n }]);
    await aggregateAll(db.prisma);
    await expectExact(db.prisma);
  });

  test("a new subscriber gets what happens after it came, once", async () => {
    await feed.continuity.check();
    const { seen } = follow(await feed.subscribe({ workspaceId: WORKSPACE }));
    const job = await submitted(engine);
    ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId: job.jobId, reason: "no longer wanted" }));
    await vi.waitFor(() => expect(seen).toEqual([`${job.jobId} 1`, `${job.jobId} 2`]), { timeout: 20_000 });
  });

  test("a cursor from before is CURSOR_EXPIRED", async () => {
    const { epoch } = await db.prisma.eventLog.findFirstOrThrow();
    const cursor = encodeCursor(epoch, await lastPosition());
    await feed.continuity.check();
    await expect(feed.cursors.resolve(cursor)).rejects.toThrow(CursorExpiredError);
  });

  test("the epoch tells when it began, and why", async () => {
    await feed.continuity.check();
    expect(feed.continuity.health).toMatchObject({
      beganAt: expect.any(Date),
      reason: expect.stringContaining("restored from another server"),
    });
  });

  test("the health of a server that begins it at its start tells it, too", async () => {
    await newFeed().continuity.check();
    expect(await db.prisma.eventLog.findFirst()).toMatchObject({ reason: expect.stringContaining("restored") });
  });
});

describe("where the end of the log is lost, as after the promotion of a standby that lagged", () => {
  onOneDatabase();

  test("those who follow hear CURSOR_EXPIRED, also when the lost ids are given again", async () => {
    const kept = await submitted(engine);
    await feed.continuity.check();
    const { seen, ended } = follow(await feed.subscribe({ workspaceId: WORKSPACE }));
    const lost = await submitted(engine);
    // A transaction of another test may have held the place back at which the subscription began.
    await vi.waitFor(() => expect(seen.at(-1)).toBe(`${lost.jobId} 1`), { timeout: 20_000 });
    await loseAfter(db.prisma, positionOf(kept));
    feed.notify();
    expect(await ended).toBeInstanceOf(CursorExpiredError);
    await vi.waitFor(() => expect(epochs).toMatchObject([{ reason: expect.stringContaining("promoted") }]));
    await expectExact(db.prisma);
  });

  test("those who come then follow on", async () => {
    const kept = await submitted(engine);
    await submitted(engine);
    await feed.continuity.check();
    await loseAfter(db.prisma, positionOf(kept));
    expect(await feed.continuity.check()).toBe(false);
    expect(await feed.continuity.check()).toBe(true);
    const { seen } = follow(await feed.subscribe({ workspaceId: WORKSPACE }));
    const job = await submitted(engine);
    await vi.waitFor(() => expect(seen.at(-1)).toBe(`${job.jobId} 1`), { timeout: 20_000 });
    expect(epochs).toHaveLength(1);
  });

  test("one epoch begins, however many looks are under way at once", async () => {
    const kept = await submitted(engine);
    await submitted(engine);
    await feed.continuity.check();
    await loseAfter(db.prisma, positionOf(kept));
    const looks: Promise<boolean>[] = [];
    for (let count = 0; count < 100; count++) {
      looks.push(feed.continuity.check());
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(looks);
    expect(epochs).toHaveLength(1);
  });

  test("a server that had seen nothing of it begins no epoch; a cursor of what is lost is CURSOR_EXPIRED all the same", async () => {
    const kept = await submitted(engine);
    const epoch = await feed.epoch();
    const lost = await submitted(engine);
    await loseAfter(db.prisma, positionOf(kept));
    const { continuity } = newFeed();
    expect(await continuity.check()).toBe(true);
    expect(await continuity.epoch()).toBe(epoch);
    await expect(feed.cursors.resolve(encodeCursor(epoch, positionOf(lost)))).rejects.toThrow(CursorExpiredError);
    await expect(feed.cursors.resolve(encodeCursor(epoch, positionOf(kept)))).resolves.toBeDefined();
  });

  test("a cursor whose snapshots are lost is CURSOR_EXPIRED, although its own event stands", async () => {
    const kept = await submitted(engine);
    const lost = await submitted(engine);
    const cursor = encodeCursor(await feed.epoch(), positionOf(kept), [positionOf(lost)]);
    // Where a transaction of another test holds it back, it goes on from further back.
    await expect(feed.cursors.resolve(cursor)).resolves.toBeDefined();
    await loseAfter(db.prisma, positionOf(kept));
    await expect(feed.cursors.resolve(cursor)).rejects.toThrow(CursorExpiredError);
  });

  test("a cursor whose position another event has now is CURSOR_EXPIRED", async () => {
    const job = await submitted(engine);
    const other = { ...positionOf(job), hash: "0".repeat(64) };
    await expect(feed.cursors.resolve(encodeCursor(await feed.epoch(), other))).rejects.toThrow(CursorExpiredError);
  });
});

describe("a new epoch", () => {
  onOneDatabase();

  test("begins once, however many servers find the same", async () => {
    const epoch = await feed.epoch();
    const began = await Promise.all(["a", "b", "c"].map((reason) => beginEpoch(db.prisma, epoch, reason)));
    expect(began.filter(Boolean)).toHaveLength(1);
  });

  test("that another server began is told to the subscribers of this one", async () => {
    await submitted(engine);
    const { ended } = follow(await feed.subscribe({ workspaceId: WORKSPACE }));
    await beginEpoch(db.prisma, await feed.epoch(), "by hand");
    expect(await feed.continuity.check()).toBe(false);
    expect(await ended).toBeInstanceOf(CursorExpiredError);
    expect(epochs).toMatchObject([{ reason: "by hand" }]);
  });

  test("begins once where the database has an earlier one again, also where its clock is late", async () => {
    await submitted(engine);
    await feed.continuity.check();
    const backup = await backUp(db.prisma);
    await beginEpoch(db.prisma, await feed.epoch(), "by hand");
    await db.prisma.$executeRaw`UPDATE event_log SET began_at = began_at + interval '1 hour'`;
    const other = newFeed();
    await Promise.all([feed, other].map(({ continuity }) => continuity.check()));
    const ended = await db.prisma.eventLog.findFirstOrThrow();
    const subscriber = follow(await feed.subscribe({ workspaceId: WORKSPACE }));
    await restore(db.prisma, backup);
    expect(await feed.continuity.check()).toBe(false);
    expect(await other.continuity.check()).toBe(false);
    expect(await subscriber.ended).toBeInstanceOf(CursorExpiredError);
    const begun = await db.prisma.eventLog.findFirstOrThrow();
    expect(begun.beganAt.getTime()).toBeGreaterThan(ended.beganAt.getTime());
    const reason = expect.stringContaining("an epoch again that had ended");
    // Told by both servers; the first one has told of the epoch begun by hand, too.
    expect(epochs).toMatchObject([
      { epoch: ended.epoch },
      { epoch: begun.epoch, reason },
      { epoch: begun.epoch, reason },
    ]);
    expect(await Promise.all([feed, other].map(({ continuity }) => continuity.check()))).toEqual([true, true]);
  });

  test("is not needed where ids begin at the last stored one: no event gets its id, and so may lie before it", async () => {
    await onBusyServer(db.prisma);
    const { jobId } = await submitted(engine);
    const last = await submitted(engine);
    await restore(db.prisma, await backUp(db.prisma), { behind: 1 });
    // Refused with the id of the last one; the next attempt has the id after it.
    const cancelled = ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "no longer wanted" }));
    expect(cancelled.orderXid).toBeGreaterThan(last.orderXid);
  });

  test("comes between the writers: none gets a position below what was stored", async () => {
    await onBusyServer(db.prisma);
    for (let count = 0; count < 3; count++) await submitted(engine);
    const before = await lastPosition();
    await onFreshServer(db.prisma);
    const { epoch } = await db.prisma.eventLog.findFirstOrThrow();
    let isWriting = true;
    const positions: bigint[] = [];
    const write = async () => {
      while (isWriting) {
        try {
          const { jobId, orderXid } = await submitted(engine);
          positions.push(orderXid);
          const cancelled = ok(await cancelAiJob(engine, WORKSPACE, SOMEBODY, { jobId, reason: "a race" }));
          positions.push(cancelled.orderXid);
        } catch (error) {
          if (!(error instanceof TryAgainError)) throw error;
        }
        // The embedded database answers in this thread: without a pause, no timer would run.
        await yieldToEventLoop();
      }
    };
    const writers = Promise.all(Array.from({ length: 6 }, write));
    await beginEpoch(db.prisma, epoch, "a race");
    await vi.waitUntil(() => positions.length > 20, { timeout: 20_000 });
    isWriting = false;
    await writers;
    for (const position of positions) expect(position).toBeGreaterThan(before.orderXid);
    await aggregateAll(db.prisma);
    await expectExact(db.prisma);
    await expectWholeChain();
  });

  test.each([
    ["a smaller offset", "xid_offset = xid_offset - 1, epoch = gen_random_uuid()"],
    ["another offset under the same epoch", "xid_offset = xid_offset + 1"],
    ["events that come back", "kept_from = kept_from - 1"],
  ])("with %s is refused by the database", async (_what, change) => {
    await db.prisma
      .$executeRaw`UPDATE event_log SET xid_offset = xid_offset + 10, kept_from = 10, epoch = gen_random_uuid()`;
    await expect(db.prisma.$executeRawUnsafe(`UPDATE event_log SET ${change}`)).rejects.toThrow(/AJ007|only grow/);
  });
});
