import { randomUUID } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { queryObjects } from "node:v8";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { Subscriber } from "../../src/live/subscriber.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { insertJob, manyVersions } from "../support/plain-sql.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Clients that stop reading: what they have not read is in the log, and not in this process. */

const long = process.env.TEST_LONG !== undefined;
const CLIENTS = long ? 1000 : 100;
const EVENTS = 1500;
const WINDOW = 200;

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db, {}, { maxBufferedEvents: WINDOW });
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const QUERY = "subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { version job { jobInputs } } }";

/** Bytes that this process holds, when everything that nobody needs has been let go. */
function held(): number {
  // It counts after a full collection of garbage.
  queryObjects(Subscriber);
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

interface Sleeper {
  /** Reads everything up to the end. */
  versions(upTo: number): Promise<number[]>;
  end(): void;
}

/** Subscribes over SSE, reads the first bytes, and no more. */
async function stalledStream(jobId: string): Promise<Sleeper> {
  const { hostname, port, pathname } = new URL(server.url);
  const socket = net.connect(Number(port), hostname);
  const search = new URLSearchParams({ query: QUERY, variables: JSON.stringify({ jobId }) });
  socket.write(`GET ${pathname}?${search} HTTP/1.1\r\nhost: ${hostname}:${port}\r\naccept: text/event-stream\r\n\r\n`);
  await once(socket, "data");
  socket.pause();
  socket.on("error", () => undefined);
  return {
    versions: async (upTo) => {
      let text = "";
      const seen: number[] = [];
      socket.resume();
      socket.setEncoding("utf8");
      for await (const part of socket) {
        text += part;
        // The documents are of no interest any more.
        text = text.replace(/"version":(\d+),"job":\{"jobInputs":"x+"/g, (_all, version: string) => {
          seen.push(Number(version));
          return "";
        });
        if (seen.at(-1) === upTo) break;
      }
      return seen;
    },
    end: () => socket.destroy(),
  };
}

/** The same over WebSocket. */
async function stalledSocket(jobId: string): Promise<Sleeper> {
  const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "connection_init" }));
  await once(socket, "message");
  socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: QUERY, variables: { jobId } } }));
  await once(socket, "message");
  socket.pause();
  return { versions: () => Promise.resolve([]), end: () => socket.terminate() };
}

test(`${CLIENTS} clients that stop reading cost a few buffers; one that reads on has missed nothing`, async () => {
  const jobId = randomUUID();
  const document = { job_inputs: "to_jsonb(repeat('x', 10000))" };
  await db.prisma.$transaction((tx) => insertJob(tx, jobId, { job: document }));
  const sleepers = await Promise.all(
    Array.from({ length: CLIENTS }, (_, index) => (index % 2 === 0 ? stalledStream(jobId) : stalledSocket(jobId))),
  );
  await vi.waitUntil(() => server.feed.subscribers === CLIENTS, { timeout: 20_000 });
  const before = held();

  for (let made = 0; made < EVENTS; made += 50) await manyVersions(db.prisma, jobId, 50);
  // One that reads has had them all, so they have been offered to everybody.
  const reader = await stalledStream(jobId);
  await manyVersions(db.prisma, jobId, 1);
  await reader.versions(EVENTS + 2);
  reader.end();

  const grown = held() - before;
  // All of it would be 15 MB for each of them.
  expect(grown / CLIENTS).toBeLessThan(150_000);

  const [first] = sleepers;
  const seen = await first?.versions(EVENTS + 2);
  expect(seen?.slice(-EVENTS)).toEqual(Array.from({ length: EVENTS }, (_, index) => index + 3));
  expect(new Set(seen).size).toBe(seen?.length);
  for (const sleeper of sleepers) sleeper.end();
  await vi.waitUntil(() => server.feed.subscribers === 0, { timeout: 20_000 });
}, 120_000);
