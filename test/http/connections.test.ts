import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { type ServerOptions, startTestServer, type TestServer } from "../support/server.ts";

/** Connections of clients that send too much, too slowly, or do not read: what becomes of them, and what others notice. */

let database: Database;
const servers: TestServer[] = [];
const sockets: Socket[] = [];
beforeAll(async () => {
  database = await openTestDatabase();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.close();
});
afterAll(() => database.close());

async function started(options: ServerOptions = {}): Promise<TestServer> {
  const server = await startTestServer(database, {}, options);
  servers.push(server);
  return server;
}

function connected({ url }: TestServer): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  sockets.push(socket);
  return socket;
}

const HEAD = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

function postOf(query: string, variables: object = {}): string {
  const body = JSON.stringify({ query, variables });
  return `${HEAD}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** All that the server sends until it closes the connection. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (data) => {
    text += String(data);
  });
  await once(socket, "close");
  return text;
}

const CLAIM = `mutation ($seconds: Int!) { claimAiJobs(input: { workerId: "w", jobKinds: [TERMINAL_EXEC], limit: 1, waitSeconds: $seconds }) { __typename } }`;

test("requests that are sent before the answers to those before them run one after the other, and are answered in order", async () => {
  const server = await started();
  const socket = connected(server);
  socket.write(
    Array(20)
      .fill(postOf(CLAIM, { seconds: 1 }))
      .join(""),
  );
  socket.write(postOf("{ last: __typename }"));
  await vi.waitUntil(() => server.claimer.waiting > 0, { timeout: 20_000 });
  await sleep(200);
  expect(server.claimer.waiting).toBe(1);
  socket.destroy();
  await vi.waitUntil(() => server.claimer.waiting === 0, { timeout: 20_000 });

  const other = connected(server);
  const names = Array.from({ length: 300 }, (_, index) => `f${index}`);
  other.write(names.map((name) => postOf(`{ ${name}: __typename }`)).join(""));
  let text = "";
  other.on("data", (data) => {
    text += String(data);
  });
  await vi.waitUntil(() => text.includes("f299"), { timeout: 20_000 });
  expect([...text.matchAll(/"(f\d+)"/g)].map(([, name]) => name)).toEqual(names);
});

test("a client that sends thousands of cheap requests over two connections does not keep another one waiting", async () => {
  const server = await started();
  const many = Buffer.from(postOf("{ __typename }").repeat(5_000));
  let answered = 0;
  for (const socket of [connected(server), connected(server)]) {
    socket.on("data", (data) => {
      answered += String(data).split("HTTP/1.1").length - 1;
    });
    socket.write(many);
  }
  await vi.waitUntil(() => answered > 0, { timeout: 20_000 });
  const before = answered;
  for (let count = 0; count < 20; count++) await (await fetch(`${server.url}?query={__typename}`)).text();
  // One packet brings hundreds of requests, and another client would wait for all of them.
  expect((answered - before) / 20).toBeLessThan(40);
});

test("a body of a byte a second is not waited for", async () => {
  const server = await started({ requestMs: 1_500, checkMs: 100 });
  const slow = Array.from({ length: 50 }, () => connected(server));
  const closed = slow.map(untilClosed);
  const start = performance.now();
  for (const socket of slow) socket.write(`${HEAD}Content-Length: 1000\r\n\r\n`);
  const sending = setInterval(() => {
    for (const socket of slow) if (!socket.destroyed) socket.write(" ");
  }, 1_000);
  expect((await fetch(`${server.url}?query={__typename}`)).status).toBe(200);
  const answers = await Promise.all(closed);
  clearInterval(sending);
  expect(performance.now() - start).toBeLessThan(6_000);
  for (const answer of answers) expect(answer).toMatch(/^HTTP\/1.1 408 /);
});

test("bodies that are on their way have a bound in bytes together: the oldest gives way, and the next is read", async () => {
  const server = await started({ maxIncomingBytes: 3_000_000 });
  const answers: Promise<string>[] = [];
  for (let count = 0; count < 3; count++) {
    const socket = connected(server);
    answers.push(untilClosed(socket));
    socket.write(`${HEAD}Content-Length: 1000000\r\n\r\n{`);
    await sleep(20);
  }
  const chunked = connected(server);
  const fourth = untilClosed(chunked);
  chunked.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
  for (let sent = 0; sent < 10; sent++) chunked.write(`ea60\r\n${"x".repeat(60_000)}\r\n`);
  expect(await answers[0]).toMatch(/^HTTP\/1.1 429 [^]*retry-after: 1[^]*"RATE_LIMITED"/i);
  const body = JSON.stringify({ query: "{ __typename }", variables: { text: "x".repeat(1_000_000) } });
  const answer = await fetch(server.url, { method: "POST", headers: { "content-type": "application/json" }, body });
  expect(await answer.json()).toEqual({ data: { __typename: "Query" } });
  expect(await answers[1]).toMatch(/^HTTP\/1.1 429 /);
  // One that was refused is not counted any more, and the others go on.
  expect(await Promise.race([answers[2], fourth, sleep(100, "waits")])).toBe("waits");
});

test("a client that does not read its answer, or its stream, is closed; one that waits for something to read is not", async () => {
  const server = await started({ unreadMs: 2_000, keepAliveMs: 200 });
  const { jobId } = await submitted(engineOn(database), { jobInputs: "x".repeat(3_900_000) });
  const document = `{ ${Array.from({ length: 8 }, (_, index) => `d${index}: aiJob(jobId: "${jobId}") { jobInputs }`).join(" ")} }`;
  const unread = connected(server);
  unread.pause();
  unread.write(postOf(document));

  const streamOf = (query: string) =>
    `POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n${postOf(query).slice(HEAD.indexOf("Content-Type"))}`;
  const stream = connected(server);
  stream.write(
    streamOf(`subscription { aiJobChanged(jobId: "${jobId}") { job { a: jobInputs b: jobInputs c: jobInputs } } }`),
  );
  await vi.waitUntil(() => server.feed.subscribers === 1, { timeout: 20_000 });
  stream.pause();

  const silent = connected(server);
  silent.resume();
  silent.write(streamOf("subscription { aiJobsChanged { version } }"));
  const claiming = connected(server);
  claiming.resume();
  claiming.write(postOf(CLAIM, { seconds: 20 }));
  await vi.waitUntil(() => server.feed.subscribers === 2 && server.claimer.waiting === 1, { timeout: 20_000 });
  const connections = () =>
    new Promise<number>((resolve, reject) => {
      server.http.getConnections((error, count) => (error ? reject(error) : resolve(count)));
    });
  expect(await connections()).toBe(4);
  await vi.waitUntil(async () => (await connections()) === 2, { timeout: 30_000 });
  await vi.waitUntil(() => server.feed.subscribers === 1, { timeout: 20_000 });
  await sleep(2_500);
  expect([await connections(), server.claimer.waiting, server.feed.subscribers]).toEqual([2, 1, 1]);
}, 90_000);

test("what waits for all clients together has a bound: those with the most are closed, and the others are answered", async () => {
  const server = await started({ maxOutgoingBytes: 40_000_000 });
  const { jobId } = await submitted(engineOn(database), { jobInputs: "x".repeat(3_900_000) });
  let came = 0;
  server.http.on("connection", () => {
    came += 1;
  });
  const unread = Array.from({ length: 30 }, () => connected(server));
  for (const socket of unread) {
    socket.pause();
    socket.write(postOf(`{ aiJob(jobId: "${jobId}") { a: jobInputs b: jobInputs } }`));
  }
  const connections = () =>
    new Promise<number>((resolve, reject) => {
      server.http.getConnections((error, count) => (error ? reject(error) : resolve(count)));
    });
  await vi.waitUntil(async () => came === 30 && (await connections()) <= 6, { timeout: 20_000 });
  const answer = await fetch(`${server.url}?query={__typename}`);
  expect(await answer.json()).toEqual({ data: { __typename: "Query" } });
}, 40_000);
