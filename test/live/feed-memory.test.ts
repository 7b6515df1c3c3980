import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { queryObjects } from "node:v8";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { Feed } from "../../src/live/feed.ts";
import { Subscriber } from "../../src/live/subscriber.ts";
import { LOG_START } from "../../src/log/cursor.ts";
import { openTestDatabase } from "../support/database.ts";
import { WORKSPACE } from "../support/engine.ts";
import { change, insertJob } from "../support/plain-sql.ts";

/** Events that clients made large: what waits for subscribers that do not come is bounded in bytes, and not in events alone. */

const EVENTS = 90;
const EVENT_BYTES = 100_000;
const MB = 1024 * 1024;

let database: Database;
let feed: Feed;
beforeAll(async () => {
  database = await openTestDatabase();
});
beforeEach(() => {
  // An event of 100 kB counts as 13 of them.
  feed = new Feed({ database, pollMs: 20, onError: () => undefined, maxBufferedEvents: 100 });
});
afterEach(() => feed.close());
afterAll(() => database.close());

async function newJob(): Promise<string> {
  const jobId = randomUUID();
  await database.prisma.$transaction((tx) => insertJob(tx, jobId));
  return jobId;
}

async function addLargeEvents(jobId: string): Promise<void> {
  const payload = `jsonb_build_object('text', repeat('x', ${EVENT_BYTES}))`;
  for (let made = 0; made < EVENTS; made += 30) {
    await database.prisma.$transaction(async (tx) => {
      for (let count = 0; count < 30; count++) await change(tx, jobId, "queued", { event: { payload } });
    });
  }
}

/** Megabytes that this process holds after a full collection of garbage. */
function held(): number {
  queryObjects(Subscriber);
  return process.memoryUsage().heapUsed / MB;
}

async function versionsUpTo(subscriber: Subscriber, last: number): Promise<number[]> {
  const versions: number[] = [];
  for await (const { event } of subscriber) {
    versions.push(event.version);
    if (event.version === last) break;
  }
  return versions;
}

const ALL = Array.from({ length: EVENTS }, (_, index) => index + 2);

test("the events that wait for a subscriber which does not come", async () => {
  const jobId = await newJob();
  const reading = await feed.subscribe({ workspaceId: WORKSPACE, jobId });
  const stalled = await feed.subscribe({ workspaceId: WORKSPACE, jobId });
  const read = versionsUpTo(reading, EVENTS + 1);
  const before = held();
  await addLargeEvents(jobId);
  // One that reads on has had them all, so they have been offered to everybody.
  expect(await read).toEqual(ALL);
  // They would be 9 MB, and are fewer than may wait.
  expect(held() - before).toBeLessThan(5);
  expect(await versionsUpTo(stalled, EVENTS + 1)).toEqual(ALL);
}, 180_000);

test("the page of the log that each subscriber reads by itself", async () => {
  const jobId = await newJob();
  await addLargeEvents(jobId);
  const before = held();
  const subscribers = await Promise.all(
    Array.from({ length: 20 }, () => feed.subscribe({ workspaceId: WORKSPACE, jobId }, LOG_START)),
  );
  const first = await Promise.all(subscribers.map((subscriber) => subscriber.next()));
  expect(first.map(({ value }) => value?.event.version)).toEqual(Array(20).fill(1));
  await sleep(100);
  // A page of them would be 9 MB for each of them.
  expect(held() - before).toBeLessThan(20);
  const [one] = subscribers;
  expect(one && (await versionsUpTo(one, EVENTS + 1))).toEqual(ALL);
  for (const subscriber of subscribers) subscriber.end();
  await vi.waitUntil(() => feed.subscribers === 0, { timeout: 20_000 });
}, 180_000);
