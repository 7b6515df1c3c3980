import { setTimeout as sleep } from "node:timers/promises";
import { expect, vi } from "vitest";
import { z } from "zod";
import { inTransaction } from "../../src/db/transaction.ts";
import type { EngineContext } from "../../src/engine.ts";
import { lockJob } from "../../src/jobs/lock.ts";
import { writeVersion } from "../../src/jobs/store.ts";
import { CommitNotifier, type NotifierTransport } from "../../src/live/notifier.ts";
import { SYSTEM_ACTOR } from "../../src/log/event.ts";
import { EVERYWHERE } from "../support/engine.ts";
import type { TestDatabase } from "./database.ts";
import { engineOn, submitted, WORKSPACE } from "./engine.ts";
import { type Proxy, startProxy } from "./interrupt.ts";
import { PROTOCOLS } from "./live.ts";
import { CHANGE_FIELDS, type PersistentClient, persistentClient } from "./persistent-client.ts";
import { post, type SpawnedServer, spawnServer } from "./spawn-server.ts";

/**
 * Two servers behind a network that breaks, and a notifier transport that breaks too. Subscribers of both protocols
 * reconnect; writers commit their transactions out of order. In the end each subscriber must have received exactly the
 * events of the log.
 */

const SIZE =
  process.env.TEST_LONG === undefined
    ? { ofOne: 16, ofAll: 4, jobs: 30, changes: 500, restarts: 2 }
    : { ofOne: 160, ofAll: 40, jobs: 300, changes: 5000, restarts: 8 };
const WRITERS = 8;
/** How long at most, in milliseconds, a transaction stays open before its change, and a writer pauses between two. */
const MAX_OPEN_MS = 40;
const MAX_PAUSE_MS = 250;
/** How long subscribers may take, in milliseconds, to receive the rest once the network works again. */
const CATCH_UP_MS = 120_000;

/** The way of the servers' notify hints, and how to break it. */
export interface Hints {
  /** The environment variables with which the servers are started. */
  readonly env: Readonly<Record<string, string>>;
  readonly transport: NotifierTransport;
  /** Breaks every connection; new ones succeed again after a while. */
  break(): Promise<void>;
}

export async function stress(db: TestDatabase, hints: Hints): Promise<void> {
  const env = { ...db.env, DATABASE_POOL_SIZE: "5", LOG_LEVEL: "info", ...hints.env };
  const servers = await Promise.all([startBehindProxy(env), startBehindProxy(env)]);
  const notifier = new CommitNotifier(hints.transport, { onChange: () => undefined });
  const engine = engineOn(db, { notifyCommit: () => notifier.notify() });
  const urls = servers.map(({ proxy }) => proxy.url);
  const protocolId = "stress";

  const start = await feedCursor(urls[0] ?? "");
  const ofAll = Array.from({ length: SIZE.ofAll }, (_, index) => watchAll(urls, index, protocolId, start));
  const jobIds: string[] = [];
  for (let count = 0; count < SIZE.jobs; count++) jobIds.push((await submitted(engine, { protocolId })).jobId);
  const ofOne = Array.from({ length: SIZE.ofOne }, (_, index) => {
    const jobId = jobIds[index % jobIds.length] ?? "";
    return { jobId, subscriber: watchOne(urls, index, jobId, index % 4 < 2 ? start : undefined) };
  });
  const subscribers = [...ofAll, ...ofOne.map(({ subscriber }) => subscriber)];

  const quiet = new AbortController();
  const breaking = injectNetworkFaults(servers, hints, quiet.signal);
  const [orders] = await Promise.all([write(engine, jobIds), restart(servers)]);
  quiet.abort();
  await breaking;

  const log = await db.prisma.flightRecorderEvent.findMany({
    where: { job: { protocolId } },
    orderBy: [{ orderXid: "asc" }, { jobId: "asc" }, { version: "asc" }],
  });
  const expected = log.map(({ jobId, version }) => `${jobId} ${version}`);
  // Checks that the test was hard enough: some transactions committed after others that come later in the log's order,
  // and every subscriber lost its connection.
  expect(expected).toHaveLength(SIZE.jobs + SIZE.changes);
  expect(orders.some((order, index) => order < (orders[index - 1] ?? 0n))).toBe(true);
  for (const { connections } of subscribers) expect(connections).toBeGreaterThan(2);

  for (const subscriber of ofAll) await expectRecord(subscriber, expected);
  for (const { jobId, subscriber } of ofOne) {
    await expectRecord(
      subscriber,
      expected.filter((entry) => entry.startsWith(jobId)),
    );
  }
  await Promise.all(subscribers.map((subscriber) => subscriber.stop()));
  await Promise.all(servers.map((server) => server.close()));
  await notifier.close();
}

/** Expects that a subscriber received every event after its snapshot, or after its cursor, once and in order. */
async function expectRecord(subscriber: PersistentClient, expected: readonly string[]): Promise<void> {
  const received = () => subscriber.failure !== undefined || subscriber.record.at(-1) === expected.at(-1);
  await vi.waitUntil(received, { timeout: CATCH_UP_MS, interval: 50 }).catch(() => undefined);
  if (subscriber.failure !== undefined) throw new Error("A subscriber failed.", { cause: subscriber.failure });
  expect(subscriber.snapshots.length).toBeLessThanOrEqual(1);
  const from = expected.indexOf(subscriber.snapshots[0] ?? "") + 1;
  expect(subscriber.record).toEqual(expected.slice(from));
}

function watchAll(urls: readonly string[], index: number, protocolId: string, after: string): PersistentClient {
  const query = `subscription ($after: Cursor, $protocolId: String!) {
    change: aiJobsChanged(after: $after, filter: { protocolId: $protocolId }) { ${CHANGE_FIELDS} } }`;
  return persistentClient(PROTOCOLS[index % 2] ?? "graphql-sse", { urls, query, variables: { protocolId, after } });
}

function watchOne(urls: readonly string[], index: number, jobId: string, after: string | undefined): PersistentClient {
  const query = `subscription ($after: Cursor, $jobId: UUID!) {
    change: aiJobChanged(after: $after, jobId: $jobId) { ${CHANGE_FIELDS} } }`;
  const variables = { jobId, ...(after === undefined ? {} : { after }) };
  return persistentClient(PROTOCOLS[index % 2] ?? "graphql-sse", { urls, query, variables });
}

async function feedCursor(url: string): Promise<string> {
  const schema = z.object({ aiJobs: z.object({ feedCursor: z.string() }) });
  return schema.parse(await post(url, "{ aiJobs(first: 1) { feedCursor } }")).aiJobs.feedCursor;
}

/**
 * Runs the writers. Each change is a transaction that gets its transaction id first and then waits, so that
 * transactions commit in another order than that of their ids.
 * @returns the transaction ids, in the order of the commits.
 */
async function write(engine: EngineContext, jobIds: readonly string[]): Promise<readonly bigint[]> {
  const orders: bigint[] = [];
  let remaining = SIZE.changes;
  const writer = async () => {
    while (remaining > 0) {
      remaining -= 1;
      orders.push(await change(engine, jobIds[Math.floor(Math.random() * jobIds.length)] ?? ""));
      await sleep(Math.random() * MAX_PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
  return orders;
}

function change(engine: EngineContext, jobId: string): Promise<bigint> {
  return inTransaction(engine, EVERYWHERE, async (tx) => {
    await tx.$executeRaw`SELECT pg_current_xact_id(), pg_sleep(${(Math.random() * MAX_OPEN_MS) / 1000})`;
    const job = await lockJob(tx, WORKSPACE, jobId);
    if (!job) throw new Error("There is no such job.");
    const event = { type: "STATE_CHANGED", by: SYSTEM_ACTOR, payload: { reason: "stressed" } } as const;
    return (await writeVersion(tx, { job, set: {}, event })).event.orderXid;
  });
}

/** A server behind a proxy. The proxy's address stays the same when the server is restarted. */
interface ServerBehindProxy {
  readonly proxy: Proxy;
  restart(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  close(): Promise<void>;
}

async function startBehindProxy(env: Readonly<Record<string, string>>): Promise<ServerBehindProxy> {
  let server: SpawnedServer = spawnServer(env);
  const url = await server.url;
  const proxy = await startProxy(url);
  return {
    proxy,
    restart: async (signal) => {
      const { code, stderr } = await server.end(signal);
      if (signal === "SIGTERM") expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      server = spawnServer({ ...env, PORT: new URL(url).port });
      await server.url;
    },
    close: async () => {
      await server.end("SIGTERM");
      await proxy.close();
    },
  };
}

/** Restarts the servers one after the other, so that one is always up; each is both stopped and killed. */
async function restart(servers: readonly ServerBehindProxy[]): Promise<void> {
  for (let count = 0; count < SIZE.restarts; count++) {
    await servers[count % servers.length]?.restart(count % 4 === 1 || count % 4 === 2 ? "SIGKILL" : "SIGTERM");
    await sleep(1000);
  }
}

async function injectNetworkFaults(
  servers: readonly ServerBehindProxy[],
  hints: Hints,
  signal: AbortSignal,
): Promise<void> {
  const faults: readonly ((proxy: Proxy) => Promise<void> | void)[] = [
    (proxy) => proxy.cut(),
    async (proxy) => {
      proxy.silence();
      await sleep(Math.random() * 300);
      proxy.cut();
      proxy.allow();
    },
    async (proxy) => {
      proxy.refuse();
      proxy.cut();
      await sleep(Math.random() * 300);
      proxy.allow();
    },
    () => hints.break(),
  ];
  while (!signal.aborted) {
    const proxy = servers[Math.floor(Math.random() * servers.length)]?.proxy;
    if (proxy) await faults[Math.floor(Math.random() * faults.length)]?.(proxy);
    await sleep(100 + Math.random() * 400);
  }
}
