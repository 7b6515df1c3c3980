import { expect, test } from "vitest";
import { type FeedItem, type LogPage, Subscriber } from "../../src/live/subscriber.ts";
import type { LogPosition } from "../../src/log/cursor.ts";
import { CHAIN_START } from "../../src/log/hash.ts";

/** A subscriber that reads the log by itself while the feed goes on, item by item. */

const JOB = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5c";
const place = (number: number): LogPosition => ({
  orderXid: BigInt(number),
  jobId: JOB,
  version: 1,
  hash: CHAIN_START,
});
const numberOf = ({ event }: FeedItem) => Number(event.orderXid);
const WORKSPACE = "00000000-0000-7000-8000-000000000000";

/** Items of the log, in a batch before which the feed had read this many events. */
function items(from: number, to: number, batch: number): FeedItem[] {
  return Array.from({ length: to - from + 1 }, (_, index) => ({
    event: {
      ...place(from + index),
      eventId: JOB,
      workspaceId: WORKSPACE,
      traceId: JOB,
      workflowRunId: null,
      type: "STATE_CHANGED",
      actor: "SYSTEM",
      actorId: "workflow-engine",
      principalId: null,
      state: "QUEUED",
      previousState: null,
      durationMs: 0n,
      totalTokens: 0n,
      inputTokens: 0n,
      outputTokens: 0n,
      tokensPlanner: 0n,
      tokensExecutor: 0n,
      entitiesRead: 0n,
      entitiesWritten: 0n,
      validatorsRunCount: 0n,
      capabilityId: null,
      payload: {},
      recordedAt: new Date(0),
      prevHash: CHAIN_START,
      hash: CHAIN_START,
    },
    job: {
      jobId: JOB,
      traceId: JOB,
      jobKind: "DOC_EDIT",
      protocolId: "p",
      capabilityProfileId: "default",
      parentJobId: null,
      rootJobId: null,
      idempotencyKey: null,
      submittedBy: "anonymous",
      labels: null,
      createdAt: new Date(0),
    },
    after: { state: "QUEUED", workerId: null, updatedAt: new Date(0) },
    before: null,
    stops: null,
    batch: { eventsReadBefore: batch, jobs: [] },
  }));
}

const OLD = 100;
const OLDEST_KEPT = 500;
const FRESH = 1000;

async function take(subscriber: Subscriber, count: number): Promise<readonly FeedItem[]> {
  const taken: FeedItem[] = [];
  while (taken.length < count) {
    const { value } = await subscriber.next();
    if (!value) throw new Error(`It ended after ${taken.length} items.`);
    taken.push(value);
  }
  return taken;
}

test("one that still reads what it missed does not keep what comes meanwhile for longer than the others", async () => {
  const read = async (after: LogPosition, upTo: LogPosition): Promise<LogPage> => {
    const from = Number(after.orderXid) + 1;
    const to = Math.min(from + 9, Number(upTo.orderXid));
    return { items: items(from, to, FRESH), end: place(to) };
  };
  const subscriber = new Subscriber({ workspaceId: WORKSPACE }, place(50), place(0), { read, onEnd: () => undefined });
  expect((await take(subscriber, 1)).map(numberOf)).toEqual([1]);
  for (const item of items(51, 80, OLD)) subscriber.offer(item, place(50));
  // Its own page, of which it has taken one item, is fresh; what waits behind it is not.
  subscriber.evictOlderThan(OLDEST_KEPT);
  for (const item of items(81, 90, FRESH)) subscriber.offer(item, place(80));
  const rest = await take(subscriber, 89);
  expect(rest.map(numberOf)).toEqual(Array.from({ length: 89 }, (_, index) => index + 2));
  expect(rest.filter(({ batch }) => batch.eventsReadBefore === OLD)).toEqual([]);
  // It has caught up: what comes now is not read again.
  const [next] = items(91, 91, OLD);
  if (next) subscriber.offer(next, place(90));
  expect(await take(subscriber, 1)).toEqual([next]);
});

test("one that fell behind while it read, and found nothing of its own there, hears of what comes next", async () => {
  const reads: ((page: LogPage) => void)[] = [];
  let asked: () => void = () => undefined;
  const read = (): Promise<LogPage> =>
    new Promise((resolve) => {
      reads.push(resolve);
      asked();
    });
  const nextRead = async () => {
    if (reads.length === 0) await new Promise<void>((resolve) => (asked = resolve));
    return reads.shift();
  };
  const subscriber = new Subscriber({ workspaceId: WORKSPACE }, place(50), place(0), { read, onEnd: () => undefined });
  const item = subscriber.next();
  const first = await nextRead();
  for (const old of items(51, 60, OLD)) subscriber.offer(old, place(50));
  subscriber.evictOlderThan(OLDEST_KEPT);
  first?.({ items: [], end: place(50) });
  (await nextRead())?.({ items: [], end: place(60) });
  // A tick of the event loop, in which it begins to wait.
  await new Promise((resolve) => setImmediate(resolve));
  const [next] = items(61, 61, FRESH);
  if (next) subscriber.offer(next, place(60));
  expect(await item).toEqual({ value: next, done: false });
});
