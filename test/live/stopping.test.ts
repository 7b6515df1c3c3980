import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import { killSpawned, post, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** SIGTERM: new work is refused, streams end where they can be gone on with, what is in flight is finished. */

const LIMIT_MS = 25_000;

let folder: string;
let server: SpawnedServer;
let url: string;
let jobId: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stopping-"));
  server = spawnServer({ DATABASE_URL: `file:${folder}` });
  url = await server.url;
  const made = await post(
    url,
    'mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "stop" }) { ... on SubmitAiJobPayload { job { jobId } } } }',
  );
  ({ jobId } = z
    .object({ submitAiJob: z.object({ job: z.object({ jobId: z.string() }) }) })
    .parse(made).submitAiJob.job);
});
afterAll(async () => {
  await killSpawned();
  await rm(folder, { recursive: true });
});

const WATCH = "subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { version } }";

/** A connection on which a test says what it likes. */
async function connect() {
  const { hostname, port } = new URL(url);
  const socket = net.connect(Number(port), hostname);
  await once(socket, "connect");
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (part: string) => {
    text += part;
    socket.emit("more");
  });
  socket.on("error", () => undefined);
  const ended = once(socket, "close");
  const until = async (part: string) => {
    const signal = AbortSignal.timeout(LIMIT_MS);
    while (!text.includes(part)) await once(socket, "more", { signal });
    return text;
  };
  return { socket, until, text: () => text, ended };
}

function get(accept: string): string {
  const search = new URLSearchParams({ query: WATCH, variables: JSON.stringify({ jobId }) });
  return `GET /graphql?${search} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: ${accept}\r\n\r\n`;
}

test("within 10 seconds everything is finished, ended or refused, and the process has gone", async () => {
  const stream = await connect();
  stream.socket.write(get("text/event-stream"));
  await stream.until('"version":1');

  // One that has stopped reading, and one that has never said goodbye.
  const stalled = await connect();
  stalled.socket.write(get("text/event-stream"));
  await stalled.until('"version":1');
  stalled.socket.pause();

  const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws");
  await once(socket, "open");
  const messages: string[] = [];
  socket.on("message", (data: Buffer) => messages.push(data.toString()));
  socket.send(JSON.stringify({ type: "connection_init" }));
  await once(socket, "message");
  socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: WATCH, variables: { jobId } } }));
  await once(socket, "message");
  const closed = once(socket, "close");

  // A worker that waits, a request of which half has come, and a connection that is kept for the next one.
  const waiting = post(
    url,
    'mutation { claimAiJobs(input: { workerId: "w", jobKinds: [TERMINAL_EXEC], waitSeconds: 20 }) { ... on ClaimAiJobsPayload { claims { leaseToken } } } }',
  );
  const body = JSON.stringify({ query: "{ aiJobs { totalCount } }" });
  const half = await connect();
  const head = `POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  half.socket.write(head + body.slice(0, 10));
  const kept = await connect();
  kept.socket.write("GET /live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
  await kept.until("200 OK");

  const startedAt = performance.now();
  const exited = server.end("SIGTERM");
  expect(await closed).toEqual([1001, expect.anything()]);
  await stream.ended;
  await kept.ended;
  half.socket.write(body.slice(10));
  await half.until('"totalCount":1');
  expect(await waiting).toEqual({ claimAiJobs: { claims: [] } });
  expect(await exited).toMatchObject({ code: 0, signal: null, stderr: "" });
  expect(performance.now() - startedAt).toBeLessThan(10_000);

  // The stream is not complete, and its last word is where to go on.
  expect(stream.text()).not.toContain("event: complete");
  const ids = [...stream.text().matchAll(/^id: (.+)$/gm)].map(([, id]) => id);
  expect(stream.text()).toMatch(/\r\nid: [\w-]+\n\n\r\n0\r\n\r\n$/);
  expect(messages.map((message) => z.object({ type: z.string() }).parse(JSON.parse(message)).type)).toEqual([
    "connection_ack",
    "next",
  ]);
  await expect(fetch(url)).rejects.toThrow("fetch failed");

  // What was said last is good for the next server.
  const next = spawnServer({ DATABASE_URL: `file:${folder}` });
  const nextUrl = await next.url;
  await post(
    nextUrl,
    'mutation ($jobId: UUID!) { cancelAiJob(input: { jobId: $jobId, reason: "x" }) { __typename } }',
    { jobId },
  );
  const again = await fetch(
    `${nextUrl}?${new URLSearchParams({ query: WATCH, variables: JSON.stringify({ jobId }) })}`,
    {
      headers: { accept: "text/event-stream", "last-event-id": ids.at(-1) ?? "" },
    },
  );
  let text = "";
  for await (const part of again.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    if (text.includes("version")) break;
  }
  expect(text).toContain('{"data":{"aiJobChanged":{"version":2}}}');
  expect((await next.end("SIGTERM")).code).toBe(0);
}, 60_000);
