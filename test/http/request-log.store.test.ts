import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import { trustProxies } from "../../src/http/proxies.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok } from "../support/engine.ts";
import { type Caller, type GuardedServer, OPERATOR, startGuardedServer } from "../support/guarded-server.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { assertNothingSent, watchedLog } from "../support/watched-log.ts";

/** What is logged of requests, of each transport; and that nothing of what they hold is. */

const lineSchema = z.looseObject({
  level: z.number(),
  msg: z.string(),
  traceId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional(),
});
const DEBUG = 20;
const INFO = 30;

let db: TestDatabase;
let server: GuardedServer;
let open: TestServer;
let submitter: Caller;
const lines: z.infer<typeof lineSchema>[] = [];
beforeAll(async () => {
  db = await openTestDatabase();
  const onLog = (line: string) => lines.push(lineSchema.parse(JSON.parse(line)));
  server = await startGuardedServer(db, {}, { onLog, proxies: trustProxies(["loopback"]) });
  open = await startTestServer(db, {}, { onLog });
  submitter = await server.keyOf({ roles: ["SUBMITTER"] });
});
afterAll(async () => {
  await open.close();
  await server.close();
  await db.close();
});
beforeEach(() => {
  lines.length = 0;
});

type Headers = Readonly<Record<string, string>>;
const SUBMIT = `mutation Submit($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename } }`;
const INPUT = { jobKind: "DOC_EDIT", protocolId: "p", jobInputs: { text: "a confidential sentence of somebody's" } };

async function post(body: object, headers: Headers = submitter.headers, { url }: { url: string } = server) {
  const init = { method: "POST", headers: { "content-type": "application/json", ...headers } };
  const response = await fetch(url, { ...init, body: JSON.stringify(body) });
  await response.text();
  return response.status;
}

/** The only line, once it is there: it is written when the answer has gone. */
async function onlyLine() {
  await vi.waitUntil(() => lines.length > 0);
  expect(lines).toHaveLength(1);
  return lines[0];
}

describe("a command is logged at info, with who, where, what, how it ended, how long it took, of which trace", () => {
  test("where it succeeded", async () => {
    const traceId = randomUUID().replaceAll("-", "");
    const headers = { ...submitter.headers, traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    expect(await post({ query: SUBMIT, variables: { input: INPUT } }, headers)).toBe(200);
    expect(await onlyLine()).toMatchObject({
      level: INFO,
      msg: "command",
      principal: submitter.principal,
      workspace: server.workspaceId,
      operation: "Submit",
      fields: ["submitAiJob"],
      outcome: "ok",
      ms: expect.any(Number),
      traceId,
    });
  });

  test("where it answered an error as data", async () => {
    await post({ query: SUBMIT, variables: { input: { ...INPUT, protocolId: "" } } });
    expect(await onlyLine()).toMatchObject({ level: INFO, msg: "command", outcome: "INVALID_INPUT" });
  });

  test("where a permission was missing", async () => {
    const query = "mutation { a: setQuota(input: { resource: JOBS, max: 1, windowSeconds: 60 }) { __typename } }";
    expect(await post({ query })).toBe(403);
    expect(await onlyLine()).toMatchObject({
      level: INFO,
      msg: "command",
      principal: submitter.principal,
      outcome: "FORBIDDEN",
      fields: ["setQuota"],
    });
  });

  test("whatever its operation is called, in at most 64 characters of it", async () => {
    // A name that no other test sends as content: what all tests sent is looked for in what is logged.
    const name = "OperationWithALongName".repeat(200);
    await post({ query: SUBMIT.replace("Submit", name), variables: { input: INPUT } });
    expect(await onlyLine()).toMatchObject({ operation: name.slice(0, 64) });
  });

  test("and on a server without auth, which is one person's, at debug", async () => {
    await post({ query: SUBMIT, variables: { input: INPUT } }, {}, open);
    expect(await onlyLine()).toMatchObject({ level: DEBUG, msg: "command", principal: "anonymous", outcome: "ok" });
  });
});

describe("a read is logged at debug:", () => {
  test("a query", async () => {
    await post({ query: "query Jobs { aiJobs { totalCount } viewer { principal } }" });
    const expected = { level: DEBUG, msg: "read", operation: "Jobs", fields: ["aiJobs", "viewer"], outcome: "ok" };
    expect(await onlyLine()).toMatchObject({ ...expected, principal: submitter.principal });
  });

  test("a subscription, when it begins and when it ends", async () => {
    const query = "subscription Watch { aiJobsChanged { kind } }";
    const controller = new AbortController();
    const response = await fetch(`${server.url}?${new URLSearchParams({ query })}`, {
      headers: { accept: "text/event-stream", ...submitter.headers },
      signal: controller.signal,
    });
    expect(response.status).toBe(200);
    await vi.waitUntil(() => lines.length > 0);
    controller.abort();
    await vi.waitUntil(() => lines.length > 1);
    const expected = { level: DEBUG, operation: "Watch", principal: submitter.principal };
    expect(lines).toMatchObject([
      { ...expected, msg: "subscription began" },
      { ...expected, msg: "subscription ended", outcome: "ok", traceId: lines[0]?.traceId },
    ]);
  });

  test("a document that could not be executed", async () => {
    await post({ query: "{ nonsense }" });
    expect(await onlyLine()).toMatchObject({
      level: DEBUG,
      msg: "request",
      principal: submitter.principal,
      path: "/graphql",
    });
  });
});

describe("over a WebSocket", () => {
  async function connect(payload: object) {
    const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
    await once(socket, "open");
    socket.send(JSON.stringify({ type: "connection_init", payload }));
    return socket;
  }

  test("a command is logged as over HTTP", async () => {
    const socket = await connect(submitter.headers);
    await once(socket, "message");
    const payload = { query: SUBMIT, variables: { input: INPUT } };
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload }));
    expect(await onlyLine()).toMatchObject({
      level: INFO,
      msg: "command",
      principal: submitter.principal,
      workspace: server.workspaceId,
      operation: "Submit",
      outcome: "ok",
    });
    socket.close();
  });

  test("a refused connection is logged, without its credential", async () => {
    const socket = await connect({ authorization: "Bearer a-credential-that-is-none" });
    expect((await once(socket, "close"))[0]).toBe(4403);
    expect(await onlyLine()).toMatchObject({ level: INFO, msg: "request refused", status: 4403, address: "127.0.0.1" });
    expect(JSON.stringify(lines)).not.toContain("a-credential");
  });
});

describe("a refused request is logged at info, without its credential:", () => {
  test("one without a valid credential, with the address that a trusted proxy tells", async () => {
    const authorization = "Bearer a-credential-that-is-none";
    expect(await post({ query: "{ __typename }" }, { authorization, "x-forwarded-for": "203.0.113.9" })).toBe(401);
    expect(await onlyLine()).toMatchObject({
      level: INFO,
      msg: "request refused",
      status: 401,
      method: "POST",
      path: "/graphql",
      address: "203.0.113.9",
    });
    expect(JSON.stringify(lines)).not.toContain("a-credential");
  });

  test("one of a foreign page, and nothing of a path that there is not", async () => {
    const path = "/ajs_pasted-into-the-address?key=pasted-as-well";
    const sent = request(new URL(path, server.url), {
      headers: { origin: "https://evil.example", ...submitter.headers },
    });
    sent.end();
    await new Promise((resolve) => sent.once("response", (response) => response.resume().once("end", resolve)));
    expect(await onlyLine()).toMatchObject({ level: INFO, status: 403, principal: submitter.principal });
    expect(JSON.stringify(lines)).not.toContain("pasted");
  });

  test("and of a thousand in a second a few, with the number of the others", async () => {
    await Promise.all(Array.from({ length: 200 }, () => post({ query: "{ __typename }" }, {})));
    await vi.waitUntil(
      async () => {
        await post({ query: "{ __typename }" }, {});
        return lines.some(({ notLogged }) => typeof notLogged === "number");
      },
      { timeout: 10_000, interval: 200 },
    );
    expect(lines.length).toBeLessThan(200);
  });
});

describe("what is logged is held against what was sent, in every test that starts a server:", () => {
  test.each<[string, (log: ReturnType<typeof watchedLog>["log"]) => unknown]>([
    ["a variable", (log) => log.info({ input: INPUT }, "x")],
    ["the beginning of one", (log) => log.info(`quoted: ${INPUT.jobInputs.text.slice(0, 40)}…`)],
    ["a credential", (log) => log.info(submitter.headers, "x")],
    ["a secret in another word", (log) => log.info(`key=${submitter.headers.authorization.slice("Bearer ".length)}`)],
  ])("%s is found", async (_what, write) => {
    await post({ query: SUBMIT, variables: { input: INPUT } });
    const watched = watchedLog();
    watched.log.info("nothing of it");
    watched.assertNothingSent();
    write(watched.log);
    expect(() => watched.assertNothingSent()).toThrow(/The log has what a client sent/);
  });

  test("and so is a text of a document, and a credential that a socket sent", async () => {
    const { secret } = ok(
      await createApiKey(engineOn(db), OPERATOR, {
        name: "of a socket",
        roles: ["VIEWER"],
        jobKinds: null,
        expiresAt: null,
        workspaceId: server.workspaceId,
      }),
    );
    const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
    await once(socket, "open");
    socket.send(JSON.stringify({ type: "connection_init", payload: { authorization: `Bearer ${secret}` } }));
    await once(socket, "message");
    socket.close();
    await post({ query: '{ aiJobByIdempotencyKey(idempotencyKey: "a text in a document") { jobId } }' });
    for (const said of [secret, "a text in a document"])
      expect(() => assertNothingSent([`{"msg":"${said}"}`])).toThrow(/what a client sent/);
  });
});
