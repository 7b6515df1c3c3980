import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** WebSocket clients that want to keep the server busy or fill its memory, and what others notice of them. */

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openDatabase({ kind: "memory" });
  server = await startTestServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

async function opened(): Promise<WebSocket> {
  const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
  socket.on("error", () => undefined);
  await once(socket, "open");
  return socket;
}

const MB = 1024 * 1024;

test("pings with megabytes are answered without them, and one that is not read costs no memory", async () => {
  const socket = await opened();
  socket.send('{"type":"connection_init"}');
  await once(socket, "message");
  const payload = { text: "x".repeat(MB) };
  socket.send(JSON.stringify({ type: "ping", payload }));
  const [answer]: unknown[] = await once(socket, "message");
  expect(String(answer)).toBe('{"type":"pong"}');
  socket.pause();
  const before = process.memoryUsage().rss;
  for (let count = 0; count < 100; count++) socket.send(JSON.stringify({ type: "ping", payload }));
  await sleep(1000);
  expect(process.memoryUsage().rss - before).toBeLessThan(400 * MB);
  socket.terminate();
});

test("operations that come by the thousand are begun at a pace, and none is lost", async () => {
  const socket = await opened();
  socket.send('{"type":"connection_init"}');
  await once(socket, "message");
  let completed = 0;
  socket.on("message", (data: Buffer) => {
    if (data.includes('"complete"')) completed += 1;
  });
  const COUNT = 4_000;
  for (let id = 0; id < COUNT; id++) {
    socket.send(JSON.stringify({ id: `s${id}`, type: "subscribe", payload: { query: "{ __typename }" } }));
  }
  await sleep(1000);
  // 100, 300 a second, and what had been read of the connection by then. Without a pace it would be all of them.
  expect(completed).toBeLessThan(COUNT / 2);
  for (const end = performance.now() + 20_000; completed < COUNT && performance.now() < end; ) await sleep(50);
  expect(completed).toBe(COUNT);
  socket.terminate();
});

test.each([
  ["a million levels", "[".repeat(1_000_000)],
  [
    "a million values",
    `{"id":"1","type":"subscribe","payload":{"query":"{a}","variables":{"a":[${"1,".repeat(1_000_000)}1]}}}`,
  ],
])("a message of %s is refused before it is parsed, by closing the connection", async (_what, text) => {
  const socket = await opened();
  const closed = once(socket, "close");
  socket.send(text);
  const [code]: unknown[] = await closed;
  expect(code).toBe(4400);
});

test("an invalid frame ends its connection, and nothing is written beside the log", async () => {
  const { hostname, port } = new URL(server.url);
  const raw = connect(Number(port), hostname);
  const key = Buffer.alloc(16).toString("base64");
  raw.write(
    `GET /graphql HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n`,
  );
  await once(raw, "data");
  const written: unknown[] = [];
  const { write } = process.stderr;
  process.stderr.write = (chunk: Uint8Array | string) => {
    written.push(chunk);
    return true;
  };
  try {
    // A frame that is not masked, of a reserved kind.
    raw.write(Buffer.from([0x8b, 0x05, 1, 2, 3, 4, 5]));
    await once(raw, "close");
    await sleep(50);
  } finally {
    process.stderr.write = write;
  }
  expect(written).toEqual([]);
});
