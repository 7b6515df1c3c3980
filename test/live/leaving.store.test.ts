import { once } from "node:events";
import { queryObjects } from "node:v8";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import { OperationStream } from "../../src/http/sse/event-stream.ts";
import { Subscriber } from "../../src/live/subscriber.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted, WORKSPACE } from "../support/engine.ts";
import { FOUND } from "../support/jobs.ts";
import { PROTOCOLS, watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Subscribers that go, jobs that end, servers that stop: nothing is read for anybody who is not there. */

let db: TestDatabase;
let server: TestServer;
let jobId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  ({ jobId } = await submitted(engineOn(db)));
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const LIMIT_MS = 25_000;
const QUERY = "subscription ($jobId: UUID!) { change: aiJobChanged(jobId: $jobId) { kind state } }";
const payload = z.object({ change: z.object({ kind: z.string(), state: z.string() }) });
const pick = (data: Record<string, unknown>) => payload.parse(data).change;

/** How often the log was read since this was asked before. */
function reads(): number {
  return db.statements().filter((sql) => sql.includes("FROM flight_recorder_events")).length;
}

/** Waits until the log has been read again. */
async function expectReading(): Promise<void> {
  const deadline = AbortSignal.timeout(LIMIT_MS);
  for (reads(); reads() === 0; ) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until the feed, which looks every 100 ms while it has a subscriber, has not looked for three times as long. */
async function expectStillness(): Promise<void> {
  const deadline = AbortSignal.timeout(LIMIT_MS);
  for (let quietMs = 0; quietMs < 400; ) {
    deadline.throwIfAborted();
    reads();
    await new Promise((resolve) => setTimeout(resolve, 50));
    quietMs = reads() > 0 ? 0 : quietMs + 50;
  }
}

/** A socket that has subscribed and got its snapshot. */
async function subscribedSocket(): Promise<WebSocket> {
  const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
  const next = async () => {
    await once(socket, "message", { signal: AbortSignal.timeout(LIMIT_MS) });
  };
  await once(socket, "open", { signal: AbortSignal.timeout(LIMIT_MS) });
  socket.send(JSON.stringify({ type: "connection_init" }));
  await next();
  socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: QUERY, variables: { jobId } } }));
  await next();
  return socket;
}

describe("the log is not read any more for a client that", () => {
  test.each(PROTOCOLS)("ends its subscription by the protocol, while nothing happens: %s", async (protocol) => {
    const changes = watch(protocol, server.url, { query: QUERY, variables: { jobId } }, pick);
    await changes.until((seen) => seen.length === 1);
    await expectReading();
    await changes[Symbol.asyncDispose]();
    await expectStillness();
  });

  test("cuts its stream off", async () => {
    const client = new AbortController();
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({ query: QUERY, variables: { jobId } }),
      signal: client.signal,
    });
    const reader = response.body?.getReader();
    await reader?.read();
    client.abort();
    await expectStillness();
  });

  test("says complete, and stays connected", async () => {
    const socket = await subscribedSocket();
    socket.send(JSON.stringify({ id: "1", type: "complete" }));
    await expectStillness();
    expect(socket.readyState).toBe(WebSocket.OPEN);
    socket.terminate();
  });

  test("dies without a word", async () => {
    const socket = await subscribedSocket();
    socket.terminate();
    await expectStillness();
  });

  test("was refused", async () => {
    const unknown = { query: QUERY, variables: { jobId: crypto.randomUUID() } };
    await using changes = watch("graphql-sse", server.url, unknown, pick);
    await expect(changes.until((seen) => seen.length > 0)).rejects.toThrow("NOT_FOUND");
    await expectStillness();
  });
});

test("of two hundred clients that have gone, in every way, nothing is left", async () => {
  const come = async (index: number) => {
    if (index % 4 === 0) {
      (await subscribedSocket()).terminate();
      return;
    }
    if (index % 4 === 1) {
      const client = new AbortController();
      const response = await fetch(`${server.url}?${new URLSearchParams({ query: `{ __typename }` })}`, {
        headers: { accept: "text/event-stream" },
        signal: client.signal,
      });
      await response.body?.getReader().read();
      client.abort();
      return;
    }
    const protocol = PROTOCOLS[index % 2] ?? "graphql-sse";
    await using changes = watch(protocol, server.url, { query: QUERY, variables: { jobId } }, pick);
    await changes.until((seen) => seen.length === 1);
  };
  for (let index = 0; index < 200; index += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, offset) => come(index + offset)));
  }
  // Counted after a full collection of garbage.
  const countOf = (constructor: typeof Subscriber | typeof OperationStream) =>
    Number(queryObjects(constructor, { format: "count" }));
  await vi.waitFor(
    async () => {
      server.http.closeIdleConnections();
      const left = {
        subscribers: server.feed.subscribers,
        objects: [countOf(Subscriber), countOf(OperationStream)],
        connections: await connections(),
      };
      expect(left).toEqual({ subscribers: 0, objects: [0, 0], connections: 0 });
    },
    { timeout: 60_000, interval: 100 },
  );
}, 120_000);

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    server.http.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}

describe.each(PROTOCOLS)("over %s", (protocol) => {
  test("a job that is poisoned already shows itself so, and tells nothing more", async () => {
    const engine = engineOn(db);
    const poisoned = await submitted(engine);
    await poisonJob(engine, WORKSPACE, poisoned.jobId, FOUND);
    const operation = { query: QUERY, variables: { jobId: poisoned.jobId } };
    await using changes = watch(protocol, server.url, operation, pick);
    await using other = watch(protocol, server.url, { query: QUERY, variables: { jobId } }, pick);
    await changes.until((seen) => seen.length === 1);
    await other.until((seen) => seen.length === 1);

    await poisonJob(engine, WORKSPACE, poisoned.jobId, FOUND);
    await poisonJob(engine, WORKSPACE, jobId, FOUND);
    // What came later has arrived, so what came before it has, too.
    await other.until((seen) => seen.length === 2);
    expect(changes.seen).toEqual([{ kind: "SNAPSHOT", state: "POISONED" }]);
    expect(other.seen.at(-1)).toEqual({ kind: "EVENT", state: "POISONED" });
    ({ jobId } = await submitted(engine));
  });

  test("a server that closes ends its streams, and does not wait for anybody", async () => {
    const stopping = await startTestServer(db);
    await using changes = watch(protocol, stopping.url, { query: QUERY, variables: { jobId } }, pick);
    await changes.until((seen) => seen.length === 1);
    const startedAt = performance.now();
    await stopping.close();
    expect(performance.now() - startedAt).toBeLessThan(4000);
    await expect(changes.until((seen) => seen.length > 1)).rejects.toThrow(/Connection closed|1001/);
    await expect(fetch(stopping.url)).rejects.toThrow("fetch failed");
  });
});
