import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { startLoggedServer } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** WebSocket clients that want to keep the server busy or fill its memory, and what others notice of them. */

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

async function opened(url = server.url): Promise<WebSocket> {
  const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws");
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

async function connected(url = server.url): Promise<WebSocket> {
  const socket = await opened(url);
  socket.send('{"type":"connection_init"}');
  await once(socket, "message");
  return socket;
}

async function closeOf(socket: WebSocket): Promise<unknown[]> {
  const [code, reason]: unknown[] = await once(socket, "close");
  return [code, String(reason)];
}

describe("a message that begins no operation has few bytes, or closes its connection unread:", () => {
  const long = JSON.stringify({ text: `"subscribe" ${"x".repeat(100_000)}` });
  test.each<[string, () => Promise<WebSocket>, ...string[]]>([
    ["a connection_init", opened, `{"type":"connection_init","payload":${long}}`],
    ["a connection_init after a ping", opened, '{"type":"ping"}', `{"type":"connection_init","payload":${long}}`],
    ["a pong", connected, `{"type":"pong","payload":${"[1,".repeat(30_000)}1${"]".repeat(30_000)}}`],
    ["a complete", connected, `{"type":"complete","id":"${"x".repeat(100_000)}"}`],
    [
      "an operation before the connection is acknowledged",
      opened,
      `{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":${long}}}`,
    ],
  ])("%s", async (_what, open, ...messages) => {
    const socket = await open();
    const closed = closeOf(socket);
    for (const message of messages) socket.send(message);
    expect(await closed).toEqual([4400, "Only a subscribe message may be this long."]);
  });

  test("and an operation is as long as a request may be", async () => {
    const socket = await connected();
    const variables = { text: "x".repeat(4_000_000) };
    socket.send(JSON.stringify({ type: "subscribe", id: "1", payload: { query: "{ __typename }", variables } }));
    const [answer]: unknown[] = await once(socket, "message");
    expect(JSON.parse(String(answer))).toEqual({ type: "next", id: "1", payload: { data: { __typename: "Query" } } });
    socket.terminate();
  });
});

test("an id that is too long closes the connection, and one that is used twice says so in a reason that fits", async () => {
  const logged = await startLoggedServer(database);
  const subscribe = (id: string) =>
    JSON.stringify({ type: "subscribe", id, payload: { query: "subscription { aiJobsChanged { version } }" } });
  const socket = await connected(logged.url);
  const closed = closeOf(socket);
  socket.send(subscribe("x".repeat(257)));
  expect(await closed).toEqual([4400, "The operation's id is too long."]);
  const other = await connected(logged.url);
  const otherClosed = closeOf(other);
  for (let count = 0; count < 2; count++) other.send(subscribe("x".repeat(256)));
  expect(await otherClosed).toEqual([4409, ""]);
  await sleep(100);
  expect(logged.logged()).toEqual([]);
  await logged.close();
});

test("the operations of a connection have a bound in bytes together, and what has ended is not counted", async () => {
  const socket = await connected();
  const answers: string[] = [];
  socket.on("message", (data: Buffer) => answers.push(String(data)));
  const query = `subscription { aiJobsChanged { version } } #${"x".repeat(90_000)}`;
  // 5,000,000 characters are 55 of them.
  const subscribe = (id: number) =>
    socket.send(JSON.stringify({ type: "subscribe", id: `s${id}`, payload: { query } }));
  for (let id = 0; id < 60; id++) subscribe(id);
  await vi.waitUntil(() => server.feed.subscribers === 55, { timeout: 10_000 });
  await vi.waitUntil(() => answers.length === 5, { timeout: 20_000 });
  for (const answer of answers)
    expect(answer).toMatch(/^\{"id":"s5\d","type":"error".*more than 5000000 characters.*"RATE_LIMITED"/);
  for (let id = 0; id < 5; id++) socket.send(`{"type":"complete","id":"s${id}"}`);
  await vi.waitUntil(() => server.feed.subscribers === 50, { timeout: 20_000 });
  for (let id = 60; id < 65; id++) subscribe(id);
  await vi.waitUntil(() => server.feed.subscribers === 55, { timeout: 20_000 });
  socket.terminate();
  await vi.waitUntil(() => server.feed.subscribers === 0, { timeout: 20_000 });
});

test("a socket whose client never begins is closed", async () => {
  const socket = await opened();
  expect(await closeOf(socket)).toEqual([4408, "Connection initialisation timeout"]);
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
