import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import type { Role } from "../../src/db/generated/client/enums.ts";
import type { EngineContext } from "../../src/engine.ts";
import { newApiKeySecret } from "../../src/identity/api-key.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS } from "../../src/identity/principal.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { type RateLimits, Rates } from "../../src/rates/rates.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** How much a principal may ask for (section 11), over each transport. */

const NO_LIMITS: RateLimits = {
  complexityPerMinute: 0,
  commandsPerSecond: 0,
  maxStreams: 0,
  maxLongPolls: 0,
  failedLoginsPerMinute: 0,
};

let db: TestDatabase;
let engine: EngineContext;
let authenticator: Authenticator;
let workspaceId: string;
let server: TestServer | undefined;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  authenticator = createAuthenticator({ prisma: db.prisma, operatorKey: undefined, onError: () => undefined });
  workspaceId = ok(await createWorkspace(engine, { name: "one", workspaceId: null })).workspaceId;
});
afterEach(async () => {
  await server?.close();
  server = undefined;
});
afterAll(async () => {
  authenticator.close();
  await db.close();
});

async function serve(limits: Partial<RateLimits>): Promise<string> {
  server = await startTestServer(db, {}, { authenticator, rates: new Rates({ ...NO_LIMITS, ...limits }) });
  return server.url;
}

async function newKey(...roles: Role[]): Promise<string> {
  const key = { name: "a key", roles, jobKinds: null, expiresAt: null, workspaceId };
  return ok(await createApiKey(engine, { ...ANONYMOUS, name: "operator" }, key)).secret;
}

const answer = z.object({
  data: z.unknown().optional(),
  errors: z.array(z.object({ message: z.string(), extensions: z.record(z.string(), z.unknown()) })).optional(),
});

async function ask(url: string, secret: string | undefined, query: string, variables: object = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...(secret ? { authorization: `Bearer ${secret}` } : {}) },
    body: JSON.stringify({ query, variables }),
  });
  const { errors } = answer.parse(await response.json());
  return { status: response.status, retryAfter: response.headers.get("retry-after"), errors };
}

const LIST = "query ($n: Int) { aiJobs(first: $n) { nodes { jobId } } }";
const SUBMIT = `mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { __typename } }`;
const WATCH = "subscription { aiJobsChanged { kind } }";

describe("reads", () => {
  test("cost units a minute; over them the answer is 429, says when, and nothing runs", async () => {
    const url = await serve({ complexityPerMinute: 100 });
    const [key, other] = [await newKey("VIEWER"), await newKey("VIEWER")];
    // 41 units each.
    for (let read = 0; read < 2; read += 1) expect((await ask(url, key, LIST, { n: 20 })).status).toBe(200);
    db.statements();
    const { status, retryAfter, errors } = await ask(url, key, LIST, { n: 20 });
    expect(status).toBe(429);
    const seconds = Number(retryAfter);
    expect(seconds).toBeGreaterThan(50);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(errors).toEqual([
      {
        message: expect.stringContaining("complexity 100 a minute"),
        extensions: { code: "RATE_LIMITED", retryAfterSeconds: seconds },
      },
    ]);
    expect(db.statements().filter((sql) => sql.includes("ai_jobs"))).toEqual([]);
    expect((await ask(url, other, LIST, { n: 20 })).status).toBe(200);
  });

  test("that are refused for what they say, or for a permission, cost nothing", async () => {
    const url = await serve({ complexityPerMinute: 3, commandsPerSecond: 1 });
    const key = await newKey("VIEWER");
    for (const query of ["{ nonsense }", "{", SUBMIT, "query A { __typename } query B { __typename }"])
      for (let time = 0; time < 5; time += 1) expect((await ask(url, key, query)).status).not.toBe(429);
    for (let read = 0; read < 3; read += 1) expect((await ask(url, key, "{ __typename }")).status).toBe(200);
    expect((await ask(url, key, "{ __typename }")).status).toBe(429);
  });
});

describe("commands", () => {
  test("cost one each, and may be sent again when it says", async () => {
    const url = await serve({ commandsPerSecond: 1 });
    const key = await newKey("SUBMITTER");
    const statuses = [];
    for (let time = 0; time < 6; time += 1) statuses.push((await ask(url, key, SUBMIT)).status);
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429]);
    const { errors, retryAfter } = await ask(url, key, SUBMIT);
    expect(errors).toMatchObject([{ extensions: { code: "RATE_LIMITED", retryAfterSeconds: Number(retryAfter) } }]);
    expect(Number(retryAfter)).toBeLessThanOrEqual(5);
    // Reads have units of their own.
    expect((await ask(url, key, LIST)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, Number(retryAfter) * 1000));
    expect((await ask(url, key, SUBMIT)).status).toBe(200);
  });

  test("in a list cost one for each item", async () => {
    const url = await serve({ commandsPerSecond: 2 });
    const key = await newKey("WORKER");
    const heartbeats = () => Array.from({ length: 4 }, () => ({ workflowRunId: randomUUID(), leaseToken: "none" }));
    const query = "mutation ($input: HeartbeatWorkflowsInput!) { heartbeatWorkflows(input: $input) { __typename } }";
    const statuses = [];
    for (let time = 0; time < 3; time += 1)
      statuses.push((await ask(url, key, query, { input: { heartbeats: heartbeats() } })).status);
    expect(statuses).toEqual([200, 200, 429]);
  });

  test("are told over a WebSocket in the same words", async () => {
    const url = await serve({ commandsPerSecond: 1 });
    const key = await newKey("SUBMITTER");
    for (let time = 0; time < 5; time += 1) await ask(url, key, SUBMIT);
    const client = wsClient(url, key);
    const errors = await new Promise((resolve) => {
      client.subscribe({ query: SUBMIT }, { next: resolve, error: resolve, complete: () => resolve("complete") });
    });
    expect(errors).toMatchObject({
      errors: [{ extensions: { code: "RATE_LIMITED", retryAfterSeconds: expect.any(Number) } }],
    });
    expect(JSON.stringify(errors)).not.toContain("429");
    await client.dispose();
  });
});

function wsClient(url: string, secret: string) {
  const connectionParams = { authorization: `Bearer ${secret}` };
  return createWsClient({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams,
    retryAttempts: 0,
  });
}

/** A subscription. */
interface Watching {
  /** Fulfilled with the first result, or with the error instead of one. */
  readonly began: Promise<unknown>;
  end(): void;
}

type Transport = (url: string, secret: string) => Watching;

interface Client {
  dispose(): void | Promise<void>;
  subscribe(
    operation: { readonly query: string },
    sink: { next(result: unknown): void; error(error: unknown): void; complete(): void },
  ): () => void;
}

function watchWith(client: Client): Watching {
  let unsubscribe: () => void = () => undefined;
  const began = new Promise((resolve) => {
    const complete = () => resolve("complete");
    unsubscribe = client.subscribe({ query: WATCH }, { next: resolve, error: resolve, complete });
  });
  const end = () => {
    unsubscribe();
    void client.dispose();
  };
  return { began, end };
}

const TRANSPORTS: readonly [string, Transport][] = [
  ["a WebSocket", (url, secret) => watchWith(wsClient(url, secret))],
  ...[true, false].map((singleConnection): [string, Transport] => [
    singleConnection ? "the single connection mode" : "an event stream",
    (url, secret) => {
      const headers = { authorization: `Bearer ${secret}` };
      return watchWith(createSseClient({ url, headers, retryAttempts: 0, singleConnection }));
    },
  ]),
];

describe.each(TRANSPORTS)("streams over %s", (_name, watch) => {
  test("are so many at once, and one that ends makes room", async () => {
    const url = await serve({ maxStreams: 2 });
    const [key, other] = [await newKey("VIEWER", "SUBMITTER"), await newKey("VIEWER")];
    await ask(url, key, SUBMIT);
    const running = [watch(url, key), watch(url, key)];
    for (const { began } of running) expect(await began).toMatchObject({ data: { aiJobsChanged: {} } });
    expect(await isRefused(watch(url, key))).toBe(true);
    const ofOther = watch(url, other);
    expect(await ofOther.began).toMatchObject({ data: {} });
    running[0]?.end();
    await vi.waitUntil(
      async () => {
        const next = watch(url, key);
        const isWatching = !(await isRefused(next));
        next.end();
        return isWatching;
      },
      { timeout: 10_000, interval: 50 },
    );
    for (const { end } of [...running, ofOther]) end();
  });
});

/** Whether a subscription was refused: a client of event streams gives the response alone, whose body it has thrown away. */
async function isRefused({ began }: Watching): Promise<boolean> {
  const first = await began;
  const response: unknown = typeof first === "object" && first !== null ? Reflect.get(first, "response") : undefined;
  return response instanceof Response ? response.status === 429 : JSON.stringify(first).includes("RATE_LIMITED");
}

describe("a stream", () => {
  const subscribe = (url: string, secret: string, accept: string) =>
    fetch(url, {
      method: "POST",
      headers: { accept, "content-type": "application/json", authorization: `Bearer ${secret}` },
      body: JSON.stringify({ query: WATCH }),
    });

  test("that is refused is answered with 429, and the time as its only event", async () => {
    const url = await serve({ maxStreams: 1 });
    const key = await newKey("VIEWER");
    const first = await subscribe(url, key, "text/event-stream");
    const second = await subscribe(url, key, "text/event-stream");
    expect([first.status, second.status]).toEqual([200, 429]);
    expect(await second.text()).toContain('"retryAfterSeconds":5');
    await first.body?.cancel();
  });

  test("that nobody can read takes no room", async () => {
    const url = await serve({ maxStreams: 1 });
    const key = await newKey("VIEWER");
    for (let time = 0; time < 3; time += 1) expect((await subscribe(url, key, "application/json")).status).toBe(406);
    const stream = await subscribe(url, key, "text/event-stream");
    expect(stream.status).toBe(200);
    await stream.body?.cancel();
  });

  test("that never began takes none either", async () => {
    const url = await serve({ maxStreams: 1 });
    const key = await newKey("VIEWER");
    for (let time = 0; time < 3; time += 1) {
      const response = await fetch(url, {
        method: "POST",
        headers: { accept: "text/event-stream", "content-type": "application/json", authorization: `Bearer ${key}` },
        body: JSON.stringify({ query: `subscription { aiJobChanged(jobId: "${randomUUID()}") { kind } }` }),
      });
      expect(await response.text()).toContain("NOT_FOUND");
    }
    const stream = await subscribe(url, key, "text/event-stream");
    expect(stream.status).toBe(200);
    await stream.body?.cancel();
  });
});

describe("claims that wait", () => {
  const CLAIM = "mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { __typename } }";
  const waiting = { input: { workerId: "w", jobKinds: ["TERMINAL_EXEC"], waitSeconds: 20 } };

  test("are so many at once; others are answered at once, and one that ends makes room", async () => {
    const url = await serve({ maxLongPolls: 1 });
    const key = await newKey("WORKER");
    const leaving = new AbortController();
    const first = fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ query: CLAIM, variables: waiting }),
      signal: leaving.signal,
    });
    first.catch(() => undefined);
    await vi.waitUntil(() => server?.claimer.waiting === 1, { timeout: 10_000 });
    const refused = await ask(url, key, CLAIM, waiting);
    expect(refused).toMatchObject({ status: 429, retryAfter: "5", errors: [{ extensions: { code: "RATE_LIMITED" } }] });
    expect((await ask(url, key, CLAIM, { input: { ...waiting.input, waitSeconds: 0 } })).status).toBe(200);
    leaving.abort();
    const short = { input: { ...waiting.input, waitSeconds: 1 } };
    await vi.waitUntil(async () => (await ask(url, key, CLAIM, short)).status === 200, { timeout: 10_000 });
  });
});

/** The status of a request that comes from another address of this machine. */
function askFrom(url: string, localAddress: string, secret: string): Promise<number | undefined> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${secret}` };
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method: "POST", localAddress, headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.once("error", reject);
    request.end('{"query":"{ __typename }"}');
  });
}

describe("who fails to authenticate", () => {
  const MAX = 20;

  test("is told to wait before the database is asked; who was verified goes on", async () => {
    const url = await serve({ failedLoginsPerMinute: MAX });
    const [verified, fresh] = [await newKey("VIEWER"), await newKey("VIEWER")];
    expect((await ask(url, verified, LIST)).status).toBe(200);
    for (let time = 0; time < MAX; time += 1)
      expect((await ask(url, newApiKeySecret(), "{ __typename }")).status).toBe(401);
    db.statements();
    const started = performance.now();
    const statuses: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => ask(url, newApiKeySecret(), "{ __typename }")),
      );
      statuses.push(...answers.map(({ status }) => status));
    }
    // Otherwise the minute was over on a busy machine, and the next ones were looked at.
    expect(performance.now() - started).toBeLessThan(55_000);
    expect(statuses.filter((status) => status === 429)).toHaveLength(1_000);
    // Twice a second the keys in use are read, whoever asks.
    expect(db.statements().length).toBeLessThan(500);
    expect((await ask(url, verified, LIST)).status).toBe(200);
    expect((await ask(url, undefined, LIST)).status).toBe(401);
    expect(await ask(url, fresh, LIST)).toMatchObject({
      status: 429,
      retryAfter: expect.stringMatching(/^[1-6]?\d$/),
      errors: [{ extensions: { code: "RATE_LIMITED", retryAfterSeconds: expect.any(Number) } }],
    });
    expect(await askFrom(url, "127.0.0.2", fresh)).toBe(200);
  }, 90_000);

  test("and so is a WebSocket, which may come again", async () => {
    const url = await serve({ failedLoginsPerMinute: 2 });
    const [verified, fresh] = [await newKey("VIEWER"), await newKey("VIEWER")];
    await ask(url, verified, LIST);
    const codes: unknown[] = [];
    for (const secret of [newApiKeySecret(), newApiKeySecret(), fresh]) {
      const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws");
      await once(socket, "open");
      const closed = once(socket, "close");
      socket.send(JSON.stringify({ type: "connection_init", payload: { authorization: `Bearer ${secret}` } }));
      const [code, reason] = await closed;
      codes.push([code, String(reason)]);
    }
    expect(codes).toEqual([
      [4403, "Forbidden"],
      [4403, "Forbidden"],
      [1013, expect.stringMatching(/^Too many failures\. Try again in \d+ s\.$/)],
    ]);
    const client = wsClient(url, verified);
    const result = await new Promise((resolve) => {
      client.subscribe({ query: "{ __typename }" }, { next: resolve, error: resolve, complete: () => undefined });
    });
    expect(result).toEqual({ data: { __typename: "Query" } });
    await client.dispose();
  });

  test("does not count where no credential was sent", async () => {
    const url = await serve({ failedLoginsPerMinute: 2 });
    for (let time = 0; time < 5; time += 1) expect((await ask(url, undefined, LIST)).status).toBe(401);
    expect((await ask(url, await newKey("VIEWER"), LIST)).status).toBe(200);
  });
});

test("0 is no limit", async () => {
  const url = await serve({});
  const key = await newKey("VIEWER");
  for (let time = 0; time < 200; time += 1) expect((await ask(url, key, "{ __typename }")).status).toBe(200);
  for (let time = 0; time < 200; time += 1) await ask(url, "nonsense", "{ __typename }");
  expect((await ask(url, await newKey("VIEWER"), "{ __typename }")).status).toBe(200);
});
