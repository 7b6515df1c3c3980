import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createClient as createSseClient } from "graphql-sse";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { EngineContext } from "../../src/engine.ts";
import { newApiKeySecret } from "../../src/identity/api-key.ts";
import { UNAUTHENTICATED } from "../../src/identity/authentication.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { type CreateApiKey, createApiKey, revokeApiKey, rotateApiKey } from "../../src/identity/keys.ts";
import { OPERATOR } from "../../src/identity/principal.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** A server that asks everybody who he is (section 11): over each transport, and until the credential ends. */

const OPERATOR_KEY = "an operator's key of more than 32 characters".replaceAll(" ", "-");

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
let authenticator: Authenticator;
let workspaceId: string;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  authenticator = createAuthenticator({ prisma: db.prisma, operatorKey: OPERATOR_KEY, onError: () => undefined });
  server = await startTestServer(db, {}, { authenticator });
  workspaceId = ok(await createWorkspace(engine, { name: "one", workspaceId: null })).workspaceId;
});
afterAll(async () => {
  await server.close();
  authenticator.close();
  await db.close();
});

function keyOf(more: Partial<CreateApiKey> = {}) {
  const key = { name: "a key", roles: ["VIEWER" as const], jobKinds: null, expiresAt: null, workspaceId };
  return createApiKey(engine, OPERATOR, { ...key, ...more }).then(ok);
}

async function ask(query: string, authorization?: string, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "content-type": "application/json", ...(authorization ? { authorization } : {}), ...headers },
    body: JSON.stringify({ query }),
  });
  const answer: unknown = await response.json();
  return { status: response.status, answer, challenge: response.headers.get("www-authenticate") };
}

const VIEWER = "{ viewer { principal roles permissions workspace { name } apiKey { name lastFour } } }";
const CANCEL = `mutation { cancelAiJob(input: { jobId: "${randomUUID()}", reason: "no" }) { __typename } }`;
const REFUSED = {
  status: 401,
  challenge: "Bearer",
  answer: { errors: [{ extensions: { code: "UNAUTHENTICATED" } }] },
};

describe("without a valid credential there is no answer", () => {
  test.each<[string, string | undefined]>([
    ["none", undefined],
    ["an empty one", "Bearer "],
    ["another scheme", "Basic dXNlcjpwYXNz"],
    ["a word", "Bearer letmein"],
    ["a well-formed one of nobody", `Bearer ${newApiKeySecret()}`],
    ["a long one", `Bearer ${"a".repeat(10_000)}`],
    ["two", `Bearer ${newApiKeySecret()}, Bearer ${OPERATOR_KEY}`],
    ["the operator's with a letter more", `Bearer ${OPERATOR_KEY}x`],
  ])("%s", async (_, authorization) => {
    expect(await ask("{ __typename }", authorization)).toMatchObject(REFUSED);
    expect(await ask("{ __schema { queryType { name } } }", authorization)).toMatchObject(REFUSED);
  });

  test("but for what is the same for everybody, and what a supervisor asks", async () => {
    const base = server.url.replace("/graphql", "");
    for (const path of ["/live", "/ready"]) expect((await fetch(base + path)).status).toBe(200);
    const page = await fetch(server.url, { headers: { accept: "text/html" } });
    expect(page.headers.get("content-type")).toContain("text/html");
    // A browser's address bar: the same page, which sends the query by itself.
    const opened = await fetch(`${server.url}?query={__typename}`, { headers: { accept: "text/html" } });
    expect(await opened.text()).not.toContain('__typename":');
    for (const path of ["/schema.graphql", "/health"]) expect((await fetch(base + path)).status).toBe(401);
  });

  test("and neither a malformed nor a known-bad one asks the database anything", async () => {
    const unknown = `Bearer ${newApiKeySecret()}`;
    await ask("{ __typename }", unknown);
    db.statements();
    const mistyped = unknown.replace(/.$/, (last) => (last === "x" ? "y" : "x"));
    for (const sent of [unknown, undefined, "Bearer nonsense", mistyped]) await ask("{ __typename }", sent);
    expect(db.statements().filter((sql) => sql.includes("api_keys"))).toEqual([]);
  });

  test("and those that come together are looked up in one statement", async () => {
    db.statements();
    const secrets = Array.from({ length: 20 }, () => `Bearer ${newApiKeySecret()}`);
    const found = await Promise.all(
      secrets.map(async (authorization) => authenticator.authenticate({ authorization })),
    );
    expect(found).toEqual(secrets.map(() => UNAUTHENTICATED));
    expect(db.statements().filter((sql) => sql.includes("api_keys"))).toHaveLength(1);
  });
});

test("of what is known to be no credential, the longest unused is forgotten first", async () => {
  const few = createAuthenticator({
    prisma: db.prisma,
    operatorKey: undefined,
    onError: () => undefined,
    maxUnknown: 2,
  });
  const secrets = [newApiKeySecret(), newApiKeySecret(), newApiKeySecret()];
  const asks = async (secret: string | undefined) => {
    db.statements();
    expect(await few.authenticate({ authorization: `Bearer ${secret}` })).toBe(UNAUTHENTICATED);
    return db.statements().length > 0;
  };
  for (const secret of secrets) expect(await asks(secret)).toBe(true);
  expect([await asks(secrets[2]), await asks(secrets[1]), await asks(secrets[0])]).toEqual([false, false, true]);
  few.close();
});

describe("who calls", () => {
  test("is the operator, by its key", async () => {
    const { answer } = await ask(VIEWER, `Bearer ${OPERATOR_KEY}`);
    expect(answer).toMatchObject({ data: { viewer: { principal: "operator", workspace: null, apiKey: null } } });
  });

  test("is an API key, in its workspace, with its roles' permissions", async () => {
    const { apiKey, secret } = await keyOf({ roles: ["WORKER"] });
    const { answer } = await ask(VIEWER, `Bearer ${secret}`);
    expect(answer).toEqual({
      data: {
        viewer: {
          principal: `key:${apiKey.apiKeyId}`,
          roles: ["WORKER"],
          permissions: ["JOBS_WORK", "VIOLATIONS_REPORT"],
          workspace: { name: "one" },
          apiKey: { name: "a key", lastFour: secret.slice(-4) },
        },
      },
    });
  });

  test("is in the events of what it does", async () => {
    const { apiKey, secret } = await keyOf({ roles: ["SUBMITTER"] });
    const submit = `mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { ... on SubmitAiJobPayload {
      job { events(first: 1) { nodes { actor actorId } } } } } }`;
    expect((await ask(submit, `Bearer ${secret}`)).answer).toMatchObject({
      data: { submitAiJob: { job: { events: { nodes: [{ actor: "HUMAN", actorId: `key:${apiKey.apiKeyId}` }] } } } },
    });
  });
});

describe("what it lacks", () => {
  test("refuses the whole request, naming the permission, before anything runs", async () => {
    const { secret } = await keyOf();
    const both = `mutation { cancelAiJob(input: { jobId: "${randomUUID()}", reason: "no" }) { __typename } a: setQuota(input: { resource: JOBS, max: 1, windowSeconds: 60 }) { __typename } }`;
    for (const document of [CANCEL, both]) {
      const { status, answer } = await ask(document, `Bearer ${secret}`);
      expect(status).toBe(403);
      expect(answer).toMatchObject({
        errors: [{ extensions: { code: "FORBIDDEN" }, message: expect.stringContaining("JOBS_OPERATE") }],
      });
      expect(answer).not.toHaveProperty("data.cancelAiJob");
    }
  });

  test("another workspace's header refuses, its own may be repeated", async () => {
    const { secret } = await keyOf();
    const list = "{ aiJobs { totalCount } }";
    const elsewhere = await ask(list, `Bearer ${secret}`, { "x-workspace-id": randomUUID() });
    expect(elsewhere.answer).toMatchObject({ errors: [{ extensions: { code: "FORBIDDEN" } }] });
    expect((await ask(list, `Bearer ${secret}`, { "x-workspace-id": workspaceId })).answer).toHaveProperty(
      "data.aiJobs",
    );
  });

  test("a principal of the whole deployment must name a workspace where one is needed", async () => {
    const { secret } = await keyOf({ workspaceId: null, roles: ["ADMIN"] });
    const list = "{ aiJobs { totalCount } }";
    const { answer } = await ask(list, `Bearer ${secret}`);
    expect(answer).toMatchObject({
      errors: [{ message: expect.stringContaining("x-workspace-id"), extensions: { code: "INVALID_INPUT" } }],
    });
    expect((await ask(list, `Bearer ${secret}`, { "x-workspace-id": workspaceId })).answer).toHaveProperty(
      "data.aiJobs",
    );
  });
});

/** The milliseconds from `end` until `isOver`. */
async function timeUntil(end: () => Promise<unknown>, isOver: Promise<unknown>): Promise<number> {
  await end();
  const start = performance.now();
  await isOver;
  return performance.now() - start;
}

describe("what ends a key", () => {
  const endings: readonly [string, (apiKeyId: string) => Promise<unknown>][] = [
    ["a revocation", (apiKeyId) => revokeApiKey(engine, OPERATOR, { apiKeyId, includeDescendants: false })],
    ["a rotation", (apiKeyId) => rotateApiKey(engine, OPERATOR, { apiKeyId, overlapSeconds: 0 })],
  ];

  test.each(endings)("%s ends its requests within a second", async (_, end) => {
    const { apiKey, secret } = await keyOf();
    expect((await ask("{ __typename }", `Bearer ${secret}`)).status).toBe(200);
    await end(apiKey.apiKeyId);
    await vi.waitUntil(async () => (await ask("{ __typename }", `Bearer ${secret}`)).status === 401, {
      timeout: 1_000,
      interval: 50,
    });
  });

  test.each(endings)("%s ends its event stream within a second, which says so", async (_, end) => {
    const { apiKey, secret } = await keyOf();
    const client = createSseClient({
      url: server.url,
      headers: { authorization: `Bearer ${secret}` },
      retryAttempts: 0,
    });
    const results: unknown[] = [];
    let began: () => void = () => undefined;
    const isRunning = new Promise<void>((resolve) => {
      began = resolve;
    });
    const over = new Promise<void>((resolve) => {
      client.subscribe(
        { query: "subscription { aiJobsChanged { kind } }" },
        {
          next: (result) => {
            results.push(result);
            began();
          },
          error: () => resolve(),
          complete: resolve,
        },
      );
    });
    await Promise.race([isRunning, new Promise((resolve) => setTimeout(resolve, 300))]);
    expect(await timeUntil(() => end(apiKey.apiKeyId), over)).toBeLessThan(1_000);
    expect(results.at(-1)).toMatchObject({ errors: [{ extensions: { code: "UNAUTHENTICATED" } }] });
    client.dispose();
  });

  test.each(endings)("%s closes its WebSocket within a second, with 4403", async (_, end) => {
    const { apiKey, secret } = await keyOf();
    const socket = await connected({ authorization: `Bearer ${secret}` });
    const closed = once(socket, "close");
    expect(await timeUntil(() => end(apiKey.apiKeyId), closed)).toBeLessThan(1_000);
    expect((await closed)[0]).toBe(4403);
  });

  test("its time ends it, and an overlap ends the old secret, to the second", async () => {
    const { secret } = await keyOf({ expiresAt: new Date(Date.now() + 1_500) });
    const rotating = await keyOf();
    ok(await rotateApiKey(engine, OPERATOR, { apiKeyId: rotating.apiKey.apiKeyId, overlapSeconds: 1 }));
    for (const valid of [secret, rotating.secret])
      expect((await ask("{ __typename }", `Bearer ${valid}`)).status).toBe(200);
    for (const ended of [secret, rotating.secret]) {
      await vi.waitUntil(async () => (await ask("{ __typename }", `Bearer ${ended}`)).status === 401, {
        timeout: 3_500,
        interval: 100,
      });
    }
  });
});

/** A socket that was acknowledged, or refused. */
async function connected(payload: object): Promise<WebSocket> {
  const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "connection_init", payload }));
  await Promise.race([once(socket, "message"), once(socket, "close")]);
  return socket;
}

test("a WebSocket without a valid credential is closed with 4403", async () => {
  for (const payload of [{}, { authorization: 7 }, { authorization: `Bearer ${newApiKeySecret()}` }]) {
    const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
    await once(socket, "open");
    const closed = once(socket, "close");
    socket.send(JSON.stringify({ type: "connection_init", payload }));
    expect((await closed)[0]).toBe(4403);
  }
});

test("a WebSocket's operations have the permissions of who connected", async () => {
  const { secret } = await keyOf();
  const socket = await connected({ authorization: `Bearer ${secret}` });
  const answer = once(socket, "message");
  socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: CANCEL } }));
  expect(JSON.parse(String((await answer)[0]))).toMatchObject({
    id: "1",
    payload: { errors: [{ extensions: { code: "FORBIDDEN" } }] },
  });
  socket.close();
});

test("a key is shown whole in no log, list or error", async () => {
  const { secret } = await keyOf();
  const { answer } = await ask(
    "{ apiKeys(first: 100) { nodes { name prefix lastFour roles jobKinds } } }",
    `Bearer ${OPERATOR_KEY}`,
  );
  expect(JSON.stringify(answer)).not.toContain(secret.slice(8, -4));
  expect(JSON.stringify(await ask("{ nonsense }", `Bearer ${secret}`))).not.toContain(secret.slice(8, -4));
});
