import { once } from "node:events";
import { Agent, request } from "node:http";
import { createClient } from "graphql-sse";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { SharedStream } from "../../src/http/sse/shared-stream.ts";
import { cancelAiJob } from "../../src/jobs/cancel.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn, SOMEBODY, submitted, WORKSPACE } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The graphql-sse protocol's single connection mode: with its own client, and request by request. */

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

const WATCH = "subscription ($jobId: UUID!) { aiJobChanged(jobId: $jobId) { state } }";
const state = z.object({ data: z.object({ aiJobChanged: z.object({ state: z.string() }) }) });

function cancel(jobId: string) {
  return cancelAiJob(engineOn(database), WORKSPACE, SOMEBODY, { jobId, reason: "test" });
}

async function untilSubscribers(count: number): Promise<void> {
  await vi.waitUntil(() => server.feed.subscribers === count, { timeout: 20_000 });
}

describe("the protocol's own client", () => {
  test("gets the results of several operations over one stream, and ends each by itself", async () => {
    const streams: string[] = [];
    const client = createClient({
      url: server.url,
      singleConnection: true,
      retryAttempts: 0,
      fetchFn: (url: string, init: RequestInit) => {
        if (new Headers(init.headers).get("accept") === "text/event-stream") streams.push(url);
        return fetch(url, init);
      },
    });
    const jobs = [await submitted(engineOn(database)), await submitted(engineOn(database))];
    const watched = jobs.map(({ jobId }) => client.iterate({ query: WATCH, variables: { jobId } }));
    const [one, two] = watched;
    const next = async (of: typeof one) => state.parse((await of?.next())?.value).data.aiJobChanged.state;
    expect([await next(one), await next(two)]).toEqual(["QUEUED", "QUEUED"]);
    const query = await client.iterate({ query: "{ __typename }" }).next();
    expect(query.value).toEqual({ data: { __typename: "Query" } });
    await untilSubscribers(2);

    await one?.return?.();
    await untilSubscribers(1);
    for (const { jobId } of jobs) await cancel(jobId);
    expect(await next(two)).toBe("CANCELLED");
    expect(streams).toHaveLength(1);
    client.dispose();
    await untilSubscribers(0);
  });

  test("hears why an operation is refused", async () => {
    const client = createClient({ url: server.url, singleConnection: true, retryAttempts: 0 });
    const unknown = { query: WATCH, variables: { jobId: crypto.randomUUID() } };
    const { value } = await client.iterate(unknown).next();
    expect(value).toMatchObject({ errors: [{ extensions: { code: "NOT_FOUND" } }] });
    client.dispose();
  });

  test("is told by the end of its stream that the server stops, and not that its operations are complete", async () => {
    const stopping = await startTestServer(database);
    const client = createClient({ url: stopping.url, singleConnection: true, retryAttempts: 0 });
    const { jobId } = await submitted(engineOn(database));
    const watched = client.iterate({ query: WATCH, variables: { jobId } });
    await watched.next();
    const rest = watched.next();
    await Promise.all([expect(rest).rejects.toThrow("Connection closed"), stopping.close()]);
    client.dispose();
  });
});

describe("a request", () => {
  async function reserve(): Promise<string> {
    const response = await fetch(server.url, { method: "PUT" });
    expect(response.status).toBe(201);
    return response.text();
  }

  function open(token: string): Promise<Response> {
    return fetch(`${server.url}?token=${token}`, { headers: { accept: "text/event-stream" } });
  }

  function post(token: string, query: string, operationId?: string): Promise<Response> {
    return fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", "x-graphql-event-stream-token": token },
      body: JSON.stringify({ query, ...(operationId === undefined ? {} : { extensions: { operationId } }) }),
    });
  }

  function stop(token: string, operationId: string): Promise<Response> {
    return fetch(`${server.url}?operationId=${operationId}&token=${token}`, { method: "DELETE" });
  }

  /** The stream's text, when it holds this. */
  async function textOf({ body }: Response, until: string): Promise<string> {
    let text = "";
    for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part;
      if (text.includes(until)) return text;
    }
    throw new Error(`The stream ended: ${text}`);
  }

  async function expectRefusal(response: Response, status: number, says: RegExp): Promise<void> {
    expect(response.status).toBe(status);
    expect(await response.text()).toMatch(says);
  }

  test("that is accepted is answered in the stream, also where that is opened later", async () => {
    const token = await reserve();
    const accepted = await post(token, "{ __typename }", "a");
    expect([accepted.status, await accepted.text()]).toEqual([202, ""]);
    const text = await textOf(await open(token), "event: complete");
    expect(text).toContain('event: next\ndata: {"id":"a","payload":{"data":{"__typename":"Query"}}}\n\n');
    expect(text).toContain('event: complete\ndata: {"id":"a"}\n\n');
  });

  test("for a stream that there is not is refused", async () => {
    await expectRefusal(await post("nothing", "{ __typename }", "a"), 404, /NOT_FOUND/);
    await expectRefusal(await open("nothing"), 404, /NOT_FOUND/);
    await expectRefusal(await stop("nothing", "a"), 404, /NOT_FOUND/);
  });

  test("without an operation's id, or with one that is taken, is refused", async () => {
    const token = await reserve();
    await expectRefusal(await post(token, "{ __typename }"), 400, /operationId/);
    expect((await post(token, "subscription { aiJobsChanged { version } }", "a")).status).toBe(202);
    await expectRefusal(await post(token, "{ __typename }", "a"), 409, /INVALID_INPUT/);
    expect((await stop(token, "a")).status).toBe(200);
    expect((await post(token, "{ __typename }", "a")).status).toBe(202);
    await expectRefusal(await fetch(`${server.url}?token=${token}`, { method: "DELETE" }), 400, /operationId/);
  });

  test("that is no operation is its own answer, and takes no id", async () => {
    const token = await reserve();
    const wrong = await post(token, "{ nope }", "a");
    expect(wrong.headers.get("content-type")).toContain("json");
    expect(await wrong.text()).toContain("nope");
    expect((await post(token, "{ __typename }", "a")).status).toBe(202);
  });

  test("by a second reader of one stream is refused", async () => {
    const token = await reserve();
    const first = await open(token);
    await expectRefusal(await open(token), 409, /one reader/);
    await first.body?.cancel();
  });

  test("by a page of another site is refused", async () => {
    for (const method of ["PUT", "DELETE"]) {
      const response = await fetch(server.url, { method, headers: { origin: "https://elsewhere.example" } });
      expect(response.status).toBe(403);
    }
  });

  test("for a stream whose reader has gone is refused, and its operations are over", async () => {
    const token = await reserve();
    const reader = new AbortController();
    const headers = { accept: "text/event-stream" };
    await fetch(`${server.url}?token=${token}`, { headers, signal: reader.signal });
    await post(token, "subscription { aiJobsChanged { version } }", "a");
    await untilSubscribers(1);
    reader.abort();
    await untilSubscribers(0);
    await expectRefusal(await post(token, "{ __typename }", "b"), 404, /NOT_FOUND/);
  });
});

test("an operation whose last byte comes when its stream's reader has gone is refused, and nothing of it stays", async () => {
  const token = await (await fetch(server.url, { method: "PUT" })).text();
  const reader = new AbortController();
  const headers = { accept: "text/event-stream", "x-graphql-event-stream-token": token };
  await fetch(server.url, { headers, signal: reader.signal });
  const { jobId } = await submitted(engineOn(database));
  const body = JSON.stringify({ query: WATCH, variables: { jobId }, extensions: { operationId: "1" } });
  const late = request(server.url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "x-graphql-event-stream-token": token,
      expect: "100-continue",
    },
  });
  late.flushHeaders();
  // The server has its head, and knows which stream it is for.
  await once(late, "continue");
  reader.abort();
  await vi.waitUntil(async () => (await fetch(server.url, { method: "DELETE", headers })).status === 404);
  const answered = once(late, "response");
  late.end(body);
  const [response] = z.tuple([z.object({ statusCode: z.number() })]).parse(await answered);
  expect(response.statusCode).toBe(404);
  await untilSubscribers(0);
});

describe("a server that has a limit", () => {
  let limited: TestServer;
  beforeEach(async () => {
    limited = await startTestServer(database, {}, { maxOperations: 2, maxReservations: 2 });
  });
  afterEach(() => limited.close());

  const reserve = () => fetch(limited.url, { method: "PUT" });

  test("keeps no more streams for readers that do not come: the one that was reserved first is given up", async () => {
    const tokens: string[] = [];
    for (let count = 0; count < 3; count++) tokens.push(await (await reserve()).text());
    const open = (token = "") =>
      fetch(limited.url, { headers: { accept: "text/event-stream", "x-graphql-event-stream-token": token } });
    expect((await open(tokens[0])).status).toBe(404);
    const read = [await open(tokens[1]), await open(tokens[2])];
    expect(read.map(({ status }) => status)).toEqual([200, 200]);
    // Those that are open are not reserved any more, and are not given up.
    for (let count = 0; count < 3; count++) await reserve();
    for (const { body } of read) await body?.cancel();
  });

  test("takes no more operations for one stream, until one of them has ended", async () => {
    const token = await (await reserve()).text();
    const headers = { "content-type": "application/json", "x-graphql-event-stream-token": token };
    const subscribe = (operationId: string) => {
      const query = "subscription { aiJobsChanged { version } }";
      return fetch(limited.url, {
        method: "POST",
        headers,
        body: JSON.stringify({ query, extensions: { operationId } }),
      });
    };
    expect([(await subscribe("1")).status, (await subscribe("2")).status]).toEqual([202, 202]);
    const refused = await subscribe("3");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await refused.json()).toMatchObject({ errors: [{ extensions: { code: "RATE_LIMITED" } }] });
    await fetch(`${limited.url}?operationId=1`, { method: "DELETE", headers });
    expect((await subscribe("3")).status).toBe(202);
  });
});

test("2,000 reservations of one client over two connections leave another client its own", async () => {
  const own = await (await fetch(server.url, { method: "PUT" })).text();
  const agent = new Agent({ keepAlive: true, maxSockets: 2 });
  const tokens: string[] = [];
  const reserve = () =>
    new Promise<void>((resolve, reject) => {
      const sent = request(server.url, { method: "PUT", agent }, (response) => {
        response.setEncoding("utf8").on("data", (token: string) => tokens.push(token));
        response.on("end", resolve);
      });
      sent.on("error", reject);
      sent.end();
    });
  await Promise.all(Array.from({ length: 2_000 }, reserve));
  agent.destroy();
  const open = (token = "") =>
    fetch(server.url, { headers: { accept: "text/event-stream", "x-graphql-event-stream-token": token } });
  const stream = await open(own);
  expect(stream.status).toBe(200);
  // Its own newest are there, too: it has a hundred over each of its connections.
  const newest = await open(tokens.at(-1));
  expect([(await open(tokens[0])).status, newest.status]).toEqual([404, 200]);
  for (const { body } of [stream, newest]) await body?.cancel();
});

test("an operation is asked for no more results while nobody reads those that there are", async () => {
  const stream = new SharedStream(60_000, "anonymous");
  const asked = { a: 0, b: 0 };
  for (const id of ["a", "b"] as const) {
    expect(stream.register(id)).toBe(true);
    const results = async function* () {
      for (;;) {
        asked[id] += 1;
        yield { data: { id } };
      }
    };
    stream.attach(id, { results: results(), resumeState: {} });
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(asked).toEqual({ a: 1, b: 1 });
  const reader = new ReadableStream(stream, { highWaterMark: 0 }).getReader();
  await reader.read();
  for (let read = 0; read < 6; read++) await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(asked).toEqual({ a: 4, b: 4 });
  await reader.cancel();
});
