import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Prisma } from "../../src/db/generated/client/client.ts";
import { within } from "../../src/db/scope.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { lockJobs } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { Feed, type FeedOptions } from "../../src/live/feed.ts";
import type { FeedItem, Subscriber } from "../../src/live/subscriber.ts";
import { encodeCursor, LOG_START, positionOf } from "../../src/log/cursor.ts";
import type { EventDraft } from "../../src/log/event.ts";
import { openTestDatabase, serverSide, type TestDatabase } from "../support/database.ts";
import { aSubmit, EVERYWHERE, engineOn, ok, SOMEBODY } from "../support/engine.ts";

let db: TestDatabase;
let feed: Feed;
beforeAll(async () => {
  db = await openTestDatabase();
  feed = new Feed({ database: serverSide(db), pollMs: 20, onError: () => undefined });
});
afterAll(async () => {
  await feed.close();
  await db.close();
});

/** A transaction of another connection that has an id and stays open until it is ended. */
async function openTransaction() {
  const url = db.url;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("BEGIN");
  const { rows } = await client.query<{ xid: string }>("SELECT pg_current_xact_id()::text AS xid");
  const end = async () => {
    await client.query("COMMIT");
    await client.end();
  };
  return { xid: BigInt(rows[0]?.xid ?? 0), end };
}

function submitIn(workspaceId: string) {
  return submitAiJob(engineOn(db), workspaceId, SOMEBODY, aSubmit()).then((result) => ok(result).job.jobId);
}

/** A transaction of the server's side: what reads behind its COMMIT is that, too. */
function inServerTransaction<T>(
  work: (tx: Transaction) => Promise<T>,
  options: { readonly timeout: number },
): Promise<T> {
  return within(EVERYWHERE, () => serverSide(db).prisma.$transaction(work, options));
}

const TOUCHED: EventDraft = {
  type: "STATE_CHANGED",
  by: { actor: "SYSTEM", actorId: "test", principalId: null },
  payload: { reason: "touched" },
};

/** One more version of a job. The transaction takes its id before it waits for `hold`, and commits after. */
function touch(jobId: string, hold?: { began: () => void; until: Promise<void> }) {
  return inServerTransaction(
    async (tx) => {
      if (hold) {
        await tx.$queryRaw`SELECT pg_current_xact_id()::text`;
        hold.began();
        await hold.until;
      }
      const job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
      if (!job) throw new Error("There is no such job.");
      await writeVersion(tx, { job, set: {}, event: TOUCHED });
    },
    { timeout: 20_000 },
  );
}

async function take(subscriber: Subscriber, count: number): Promise<string[]> {
  const seen: FeedItem[] = [];
  while (seen.length < count) {
    const { value } = await subscriber.next();
    if (!value) throw new Error(`It ended after ${seen.length} items.`);
    seen.push(value);
  }
  return seen.map(({ event }) => `${event.jobId} ${event.version}`);
}

function gate() {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, passed };
}

test("an event that commits late is delivered, where a reader of a plain sequence would have passed it", async () => {
  const workspaceId = randomUUID();
  const early = await submitIn(workspaceId);
  const submitted = await db.prisma.aiJob.findUniqueOrThrow({ where: { jobId: early } });
  const subscriber = await feed.subscribe({ workspaceId }, positionOf(submitted));

  const began = gate();
  const release = gate();
  const late = touch(early, { began: began.open, until: release.passed });
  await began.passed;
  // Later transaction ids, committed before the one that is held open.
  const others = [await submitIn(workspaceId), await submitIn(workspaceId)];
  const seen = take(subscriber, 3);
  release.open();
  await late;

  expect(await seen).toEqual([`${early} 2`, ...others.map((id) => `${id} 1`)]);
  await subscriber.return();
});

test("a job's version 7 never comes before its version 6, whatever the ids of their transactions", async () => {
  const workspaceId = randomUUID();
  const jobId = await submitIn(workspaceId);
  for (let version = 2; version <= 5; version++) await touch(jobId);

  // T1 has the lower id and writes second: version 7 by it, version 6 by T2.
  const began = gate();
  const release = gate();
  const seventh = touch(jobId, { began: began.open, until: release.passed });
  await began.passed;
  const other = await openTransaction();
  await touch(jobId);
  release.open();
  await seventh;

  const events = await db.prisma.flightRecorderEvent.findMany({
    where: { jobId },
    orderBy: { version: "asc" },
  });
  const [sixth, last] = events.slice(-2);
  expect([sixth?.version, last?.version]).toEqual([6, 7]);
  // The rule of section 4: the second writer's own id is lower, and it takes the first one's.
  expect(last?.orderXid).toBe(sixth?.orderXid);

  const subscriber = await feed.subscribe({ workspaceId, jobId }, LOG_START);
  const seen = take(subscriber, 7);
  await other.end();
  expect(await seen).toEqual([1, 2, 3, 4, 5, 6, 7].map((version) => `${jobId} ${version}`));
  await subscriber.return();
});

test("nothing is delivered above the oldest open transaction, and everything once it has ended", async () => {
  const workspaceId = randomUUID();
  const subscriber = await feed.subscribe({ workspaceId });
  const open = await openTransaction();
  const jobId = await submitIn(workspaceId);
  const horizon = await feed.watermark();
  expect(horizon.orderXid).toBeLessThanOrEqual(open.xid);
  const seen = take(subscriber, 1);
  await expect(Promise.race([seen, new Promise((resolve) => setTimeout(() => resolve("nothing"), 200))])).resolves.toBe(
    "nothing",
  );
  await open.end();
  expect(await seen).toEqual([`${jobId} 1`]);
  await subscriber.return();
});

test("a cursor of an event that was not yet safe to read is taken for the last place that was", async () => {
  const workspaceId = randomUUID();
  const early = await submitIn(workspaceId);
  const began = gate();
  const release = gate();
  const late = touch(early, { began: began.open, until: release.passed });
  await began.passed;
  const jobId = await submitIn(workspaceId);
  // Found by a query: the event before it in the log has not committed.
  const event = await db.prisma.flightRecorderEvent.findUniqueOrThrow({
    where: { jobId_version: { jobId, version: 1 } },
  });
  const cursor = encodeCursor(await feed.epoch(), event);
  const subscriber = await feed.subscribe({ workspaceId }, await feed.cursors.resolve(cursor));
  expect(await feed.cursors.resolve(cursor, jobId)).toMatchObject({ jobId, version: 1 });
  release.open();
  await late;
  // Somebody else's transaction may hold the place back further still, and more is told then.
  const [first, ...others] = await take(subscriber, 2);
  const seen = first === `${early} 1` ? [...others, ...(await take(subscriber, 1))] : [first, ...others];
  expect(seen).toEqual([`${early} 2`, `${jobId} 1`]);
  await subscriber.return();
});

test("a subscriber that fell behind the window reads the log, and gets everything once, in order", async () => {
  const workspaceId = randomUUID();
  const small = new Feed({ database: serverSide(db), pollMs: 20, maxBufferedEvents: 300, onError: () => undefined });
  const subscriber = await small.subscribe({ workspaceId });
  const jobId = await submitIn(workspaceId);
  // More than the window holds; nobody takes anything meanwhile.
  const total = 1200;
  await inServerTransaction(
    async (tx) => {
      let job = (await lockJobs(tx, Prisma.sql`job_id = ${jobId}::uuid`)).get(jobId);
      for (let version = 2; job && version <= total; version++) {
        job = (await writeVersion(tx, { job, set: {}, event: TOUCHED })).job;
      }
    },
    { timeout: 60_000 },
  );
  await submitIn(workspaceId);
  expect((await take(subscriber, total)).map((seen) => Number(seen.split(" ")[1]))).toEqual(
    Array.from({ length: total }, (_, index) => index + 1),
  );
  await small.close();
});

/** A feed that can read only in the way that is left to it, and one who listens to a job of a workspace of its own. */
async function feedOn(database: FeedOptions["database"]) {
  const workspaceId = randomUUID();
  const jobId = await submitIn(workspaceId);
  const other = new Feed({ database, pollMs: 20, onError: () => undefined });
  const seen: number[] = [];
  const subscriber = await other.subscribe({ workspaceId });
  const reading = (async () => {
    for await (const { event } of subscriber) seen.push(event.version);
  })();
  const close = async () => {
    await other.close();
    await reading;
  };
  return { jobId, seen, close };
}

/** The submit is one of them where an older transaction held it back until they listened. */
function expectInOrder(versions: readonly number[]): void {
  const [first = 0] = versions;
  expect(first).toBeLessThanOrEqual(2);
  expect(versions).toEqual(versions.map((_, at) => first + at));
}

test("what this process commits goes to subscribers by the read behind its COMMIT, and by no other", async () => {
  let isAway = false;
  const prisma = new Proxy(serverSide(db).prisma, {
    get: (target, key): unknown =>
      isAway && key === "$queryRaw" ? () => Promise.reject(new Error("away")) : Reflect.get(target, key),
  });
  const { jobId, seen, close } = await feedOn({ ...db, prisma });
  isAway = true;
  // A transaction of another test file may hold an event back: it is read with one of the next.
  await vi.waitFor(
    async () => {
      await touch(jobId);
      await sleep(50);
      expect(seen.length).toBeGreaterThan(5);
    },
    { timeout: 25_000 },
  );
  expectInOrder(seen);
  await close();
});

test.each([
  ["fails", () => Promise.reject(new Error("by a test"))],
  ["is never answered", () => new Promise<never>(() => undefined)],
])("where that read %s, the feed reads by itself", async (_what, read) => {
  const { onCommitSent: readBehindCommits } = db;
  let asked = 0;
  const failing: FeedOptions["database"]["onCommitSent"] = (reader) =>
    readBehindCommits?.(() => {
      reader(() => {
        asked += 1;
        return read();
      });
    });
  const { jobId, seen, close } = await feedOn({ prisma: serverSide(db).prisma, onCommitSent: failing });
  for (let version = 2; version < 12; version++) {
    await touch(jobId);
    await sleep(30);
  }
  await vi.waitUntil(() => seen.includes(11), { timeout: 25_000 });
  expectInOrder(seen);
  expect(asked).toBeGreaterThan(0);
  await close();
});
