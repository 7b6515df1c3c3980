import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { CommitNotifier } from "../../src/live/notifier.ts";
import { postgresTransport } from "../../src/live/notifier-postgres.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** GET /health: what an operator, and a load balancer, see. */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function health(of: TestServer, init: RequestInit = {}) {
  const response = await fetch(new URL("/health", of.url), init);
  const text = await response.text();
  const body: unknown = text === "" ? undefined : JSON.parse(text);
  return { status: response.status, cache: response.headers.get("cache-control"), body };
}

const signals = { kind: "in_process", connected: true, since: expect.any(String) };
const log = { epoch: expect.any(String), beganAt: expect.any(String), reason: "the database was created" };
const lag = { behindMs: expect.any(Number), oldestTransactionMs: expect.any(Number), heldBackBy: null };

test("all is well: 200, with the database, the feed and the hints", async () => {
  expect(await health(server)).toEqual({
    status: 200,
    cache: "no-store",
    body: {
      status: "ok",
      database: { answers: true, milliseconds: expect.any(Number) },
      feed: { subscribers: 0, lastReadMsAgo: null, ...lag },
      log,
      sweeps: { lastMsAgo: 0 },
      signals,
    },
  });
  expect(await health(server, { method: "HEAD" })).toEqual({ status: 200, cache: "no-store", body: undefined });
});

test("subscribers are counted", async () => {
  const query = "subscription { aiJobsChanged { version } }";
  {
    await using one = watch("graphql-sse", server.url, { query }, () => 1);
    await using two = watch("graphql-ws", server.url, { query }, () => 1);
    await vi.waitUntil(() => server.feed.subscribers === 2, { timeout: 20_000 });
    expect((await health(server)).body).toMatchObject({
      status: "ok",
      feed: { subscribers: 2, lastReadMsAgo: expect.any(Number) },
    });
    expect([...one.seen, ...two.seen]).toEqual([]);
  }
  await vi.waitUntil(() => server.feed.subscribers === 0, { timeout: 20_000 });
});

test("hints that do not reach the other servers are a degraded service, and still one", async () => {
  const transport = postgresTransport("postgres://nobody@127.0.0.1:1/nothing");
  const cut = new CommitNotifier(transport, { onChange: () => undefined });
  const lonely = await startTestServer(db, {}, { notifier: cut });
  expect(await health(lonely)).toMatchObject({
    status: 200,
    body: { status: "degraded", database: { answers: true }, signals: { kind: "postgres", connected: false } },
  });
  await lonely.close();
  await cut.close();
});

test("a sweep for lost leases that has not ended for long is a degraded service, too", async () => {
  const behind = await startTestServer(db, {}, { maintenance: { health: { lastMsAgo: 45_000, isLate: true } } });
  expect(await health(behind)).toMatchObject({
    status: 200,
    body: { status: "degraded", sweeps: { lastMsAgo: 45_000 } },
  });
  await behind.close();
});

test("a database that does not answer as it should is a service that cannot be had: 503", async () => {
  await db.prisma.$executeRaw`ALTER TABLE flight_recorder_events RENAME TO away`;
  try {
    expect(await health(server)).toEqual({
      status: 503,
      cache: "no-store",
      body: {
        status: "unavailable",
        database: { answers: false, milliseconds: expect.any(Number) },
        feed: { subscribers: 0, lastReadMsAgo: null },
        log,
        sweeps: { lastMsAgo: 0 },
        signals,
      },
    });
  } finally {
    await db.prisma.$executeRaw`ALTER TABLE away RENAME TO flight_recorder_events`;
  }
});

test("it is not for pages of other sites", async () => {
  expect((await health(server, { headers: { origin: "https://elsewhere.example" } })).status).toBe(403);
});

test("whether the process lives is told without a look at anything", async () => {
  db.statements();
  expect((await fetch(new URL("/live", server.url))).status).toBe(200);
  expect(db.statements()).toEqual([]);
});
