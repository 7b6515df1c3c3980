import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClientOptions, WebSocket } from "ws";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { type LoggedServer, startLoggedServer } from "../support/http.ts";
import { startTestServer } from "../support/server.ts";

/** GraphQL over WebSocket, message by message: what the protocol's own client never sends is answered, too. */

let database: Database;
let server: LoggedServer;
let jobId: string;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startLoggedServer(database);
  ({ jobId } = await submitted(engineOn(database)));
});
afterAll(async () => {
  await server.close();
  await database.close();
});

const LIMIT_MS = 10_000;
const OTHER_WORKSPACE = "00000000-0000-7000-8000-000000000001";

interface Talk extends AsyncDisposable {
  readonly socket: WebSocket;
  say(message: unknown): void;
  /** The next message of the server. */
  received(): Promise<unknown>;
  /** The code with which the server closes. */
  closed(): Promise<number>;
}

/** A connection, open and with nothing said yet. */
async function talk(headers: ClientOptions["headers"] = {}, url = server.url): Promise<Talk> {
  const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws", { headers });
  const messages: unknown[] = [];
  socket.on("message", (data: Buffer) => {
    messages.push(JSON.parse(data.toString()));
    socket.emit("kept");
  });
  const closing = new Promise<number>((resolve) => socket.once("close", resolve));
  await once(socket, "open", { signal: AbortSignal.timeout(LIMIT_MS) });
  return {
    socket,
    say: (message) => socket.send(typeof message === "string" ? message : JSON.stringify(message)),
    received: async () => {
      while (messages.length === 0) await once(socket, "kept", { signal: AbortSignal.timeout(LIMIT_MS) });
      return messages.shift();
    },
    closed: () => closing,
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await closing;
    },
  };
}

/** A connection that has been acknowledged. */
async function welcomed(
  payload: unknown = {},
  headers: ClientOptions["headers"] = {},
  url = server.url,
): Promise<Talk> {
  const connection = await talk(headers, url);
  connection.say({ type: "connection_init", payload });
  expect(await connection.received()).toEqual({ type: "connection_ack" });
  return connection;
}

function subscribe(query: string, variables: unknown = {}, more: object = {}) {
  return { id: "1", type: "subscribe", payload: { query, variables, ...more } };
}

/** What is answered to one operation; the connection is as good as before. */
async function answerTo(message: object, payload: unknown = {}, headers: ClientOptions["headers"] = {}) {
  await using connection = await welcomed(payload, headers);
  server.logged();
  connection.say(message);
  const answer = await connection.received();
  expect(server.logged()).toEqual([]);
  connection.say({ type: "ping" });
  const after = await connection.received();
  expect(after).toEqual(typeOf(answer) === "next" ? { id: "1", type: "complete" } : { type: "pong" });
  return answer;
}

function typeOf(message: unknown): unknown {
  return typeof message === "object" && message !== null && "type" in message ? message.type : undefined;
}

describe("a connection", () => {
  /** How an upgrade is answered that is refused. */
  function refusalOf(address: string, headers: ClientOptions["headers"]): Promise<number | undefined> {
    const socket = new WebSocket(address, "graphql-transport-ws", { headers });
    return new Promise((resolve, reject) => {
      socket.once("unexpected-response", (_request, response) => {
        resolve(response.statusCode);
        socket.terminate();
      });
      socket.once("open", () => reject(new Error("It was accepted.")));
      socket.on("error", () => undefined);
    });
  }

  test.each([
    ["from another site", "", { origin: "https://elsewhere.example" }],
    ["from another port of this machine", "", { origin: "http://127.0.0.1:1" }],
    ["from a file or a sandbox", "", { origin: "null" }],
    ["to another name", "", { host: "elsewhere.example" }],
    ["to a name that begins like this machine's", "", { host: "127.0.0.1.elsewhere.example" }],
    ["to another path", "/more", {}],
  ])("%s is refused before it is one", async (_what, path, headers) => {
    const address = server.url.replace("http", "ws") + path;
    expect(await refusalOf(address, headers)).toBe(403);
  });

  test("from a page of the server itself is accepted", async () => {
    await using connection = await welcomed({}, { origin: new URL(server.url).origin });
    connection.say(subscribe("{ __typename }"));
    expect(await connection.received()).toMatchObject({ payload: { data: { __typename: "Query" } } });
  });

  test.each([
    ["without having introduced itself", subscribe("{ __typename }"), 4401],
    ["what is no JSON", "nonsense", 4400],
    ["a message of no type that there is", { type: "nonsense" }, 4400],
    ["a subscription without an id", { type: "subscribe", payload: { query: "{ __typename }" } }, 4400],
  ])("that says %s is closed", async (_what, message, code) => {
    await using connection = await talk();
    connection.say(message);
    expect(await connection.closed()).toBe(code);
  });

  test("that introduces itself twice, or uses an id twice, is closed", async () => {
    await using twice = await welcomed();
    twice.say({ type: "connection_init" });
    expect(await twice.closed()).toBe(4429);
    await using same = await welcomed();
    const message = subscribe(`subscription { aiJobChanged(jobId: "${jobId}") { version } }`);
    same.say(message);
    await same.received();
    same.say(message);
    expect(await same.closed()).toBe(4409);
  });

  test("is closed by a server that stops, with the code for going away", async () => {
    const stopping = await startLoggedServer(database);
    const socket = new WebSocket(stopping.url.replace("http", "ws"), "graphql-transport-ws");
    await once(socket, "open", { signal: AbortSignal.timeout(LIMIT_MS) });
    const closed = once(socket, "close", { signal: AbortSignal.timeout(LIMIT_MS) });
    await stopping.close();
    expect(await closed).toEqual([1001, expect.anything()]);
  });
});

describe("an operation", () => {
  const next = (payload: object) => ({ id: "1", type: "next", payload });
  /** One error, with nothing in it that is not for clients. */
  const errors = (message: RegExp, extensions: object): unknown[] => [
    expect.objectContaining({ message: expect.stringMatching(message), extensions }),
  ];

  test("may be a query or a mutation as well", async () => {
    const query = "query ($id: UUID!) { aiJob(jobId: $id) { version } }";
    expect(await answerTo(subscribe(query, { id: jobId }))).toEqual(next({ data: { aiJob: { version: 1 } } }));
    const cancel = `mutation { cancelAiJob(input: { jobId: "${OTHER_WORKSPACE}", reason: "x" }) { __typename } }`;
    expect(await answerTo(subscribe(cancel))).toEqual(next({ data: { cancelAiJob: { __typename: "NotFoundError" } } }));
  });

  test.each([
    ["with a field that there is not", subscribe("{ nope }"), /nope/],
    ["that is cut off", subscribe("{"), /Syntax Error/],
    ["nested without end", subscribe(`{ ${"a { ".repeat(3000)} b ${"}".repeat(3000)} }`), /too deeply/],
    ["longer than 100,000 characters", subscribe(`{ __typename } #${"x".repeat(100_000)}`), /100000/],
  ])("is refused %s", async (_what, message, says) => {
    expect(await answerTo(message)).toEqual({
      id: "1",
      type: "error",
      payload: errors(says, { code: "INVALID_INPUT" }),
    });
  });

  test("is refused by a name that it has not", async () => {
    const answer = await answerTo(subscribe("query A { __typename }", {}, { operationName: "B" }));
    expect(answer).toMatchObject({ type: "error", payload: [{ extensions: { code: "INVALID_INPUT" } }] });
  });

  test("is refused with a variable of the wrong type", async () => {
    const query = "subscription ($id: UUID!) { aiJobChanged(jobId: $id) { version } }";
    const answer = await answerTo(subscribe(query, { id: "nope" }));
    expect(answer).toEqual(next({ errors: errors(/nope is not a UUID/, { code: "INVALID_INPUT" }) }));
  });

  test.each([
    ["of a job that there is not", `aiJobChanged(jobId: "${OTHER_WORKSPACE}")`, { code: "NOT_FOUND" }],
    ["after a cursor that is none", 'aiJobsChanged(after: "nope")', { code: "INVALID_INPUT", path: ["after"] }],
  ])("is refused as a subscription %s", async (_what, field, extensions) => {
    const answer = await answerTo(subscribe(`subscription { ${field} { version } }`));
    expect(answer).toMatchObject(
      next({ errors: [{ message: expect.stringMatching(/no job|not a cursor/), extensions }] }),
    );
  });
});

describe("the workspace", () => {
  const count = subscribe("{ aiJobs { totalCount } }");
  const counted = (totalCount: number) => ({ type: "next", payload: { data: { aiJobs: { totalCount } } } });

  test.each([
    ["is the default one where nothing is said", {}, {}, 1],
    ["is what the introduction says", { "x-workspace-id": OTHER_WORKSPACE }, {}, 0],
    ["is what the upgrade says", {}, { "x-workspace-id": OTHER_WORKSPACE }, 0],
  ])("%s", async (_what, payload, headers, jobs) => {
    expect(await answerTo(count, payload, headers)).toMatchObject(counted(jobs));
  });

  test.each([
    ["a text that is none", "nope"],
    ["a number", 5],
    ["a list of one", [OTHER_WORKSPACE]],
    ["nothing", ""],
  ])("is refused where it is %s: the default one does not stand in", async (_what, workspace) => {
    const answer = await answerTo(count, { "x-workspace-id": workspace });
    const extensions = { code: "INVALID_INPUT", path: ["x-workspace-id"] };
    expect(answer).toMatchObject({ type: "error", payload: [{ extensions }] });
  });
});

test("a claim that its client does not wait for any more takes nothing: the next in line does", async () => {
  const claim =
    'mutation { claimAiJobs(input: { workerId: "w", jobKinds: [CANVAS_CLUSTER], waitSeconds: 20 }) ' +
    "{ ... on ClaimAiJobsPayload { claims { job { jobId } } } } }";
  /** Begins to wait: what is asked after its claim is answered when that has found nothing. */
  const wait = async (connection: Talk) => {
    connection.say(subscribe(claim));
    connection.say({ ...subscribe("{ aiJobs { totalCount } }"), id: "2" });
    expect(await connection.received()).toMatchObject({ id: "2", type: "next" });
    expect(await connection.received()).toEqual({ id: "2", type: "complete" });
  };
  await using first = await welcomed();
  await wait(first);
  await using second = await welcomed();
  await wait(second);
  first.say({ id: "1", type: "complete" });
  first.say({ type: "ping" });
  expect(await first.received()).toEqual({ type: "pong" });
  const due = await submitted(engineOn(database), { jobKind: "CANVAS_CLUSTER" });
  const claims = [{ job: { jobId: due.jobId } }];
  expect(await second.received()).toEqual({ id: "1", type: "next", payload: { data: { claimAiJobs: { claims } } } });
});

test("one connection has so many operations and no more, until one of them has ended", async () => {
  const limited = await startTestServer(database, {}, { maxOperations: 2 });
  {
    await using connection = await welcomed({}, {}, limited.url);
    const changes = subscribe(`subscription { aiJobChanged(jobId: "${jobId}") { version } }`);
    for (const id of ["1", "2"]) {
      connection.say({ ...changes, id });
      expect(await connection.received()).toMatchObject({ id, type: "next" });
    }
    const refused = { id: "3", type: "error", payload: [{ extensions: { code: "RATE_LIMITED" } }] };
    connection.say({ ...changes, id: "3" });
    expect(await connection.received()).toMatchObject(refused);
    // What was refused, and what was answered, takes no place.
    connection.say({ id: "2", type: "complete" });
    for (const id of ["4", "5"]) {
      connection.say({ ...subscribe("{ __typename }"), id });
      expect(await connection.received()).toMatchObject({ id, type: "next" });
      expect(await connection.received()).toEqual({ id, type: "complete" });
    }
    connection.say({ ...changes, id: "6" });
    expect(await connection.received()).toMatchObject({ id: "6", type: "next" });
    connection.say({ ...changes, id: "7" });
    expect(await connection.received()).toMatchObject({ ...refused, id: "7" });
  }
  await limited.close();
});
