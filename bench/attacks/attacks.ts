import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { getIntrospectionQuery } from "graphql";
import { WebSocket } from "ws";
import { newApiKeySecret } from "../../src/identity/api-key.ts";
import type { Attack, Connection } from "./attack.ts";
import { submit, works } from "./works.ts";

const JOB = "00000000-0000-4000-8000-000000000000";
const KB = 1_000;
const MB = 1_000_000;
const many = (count: number, of: (index: number) => string, between = ",") =>
  Array.from({ length: count }, (_, index) => of(index)).join(between);

const document = (text: string, number: number) => JSON.stringify({ query: `${text} #${number}` });
const SNIPPETS = `mutation ($snippets: [RetrievedSnippetInput!]!) { advanceWorkflow(input: { workflowRunId: "${JOB}",
  leaseToken: "${"A".repeat(43)}", step: { nodeId: "n", nodeType: "t", outcome: STARTED }, retrievedSnippets: $snippets }) { __typename } }`;
const REFS = `mutation ($refs: [EntityRefInput!]!) { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p", entityRefs: $refs }) { __typename } }`;
const STATES = `query ($states: [JobState!]) { aiJobs(filter: { states: $states }) { totalCount } }`;

const texts = {
  longKey: `{${JSON.stringify("k".repeat(3_900 * KB))}:1}`,
  ligatures: JSON.stringify("\uFDFA".repeat(1_300 * KB)),
  marks: JSON.stringify("a\u0301\u0302\u0303".repeat(550 * KB)),
  nearPatterns: JSON.stringify("ignore all the previous ".repeat(160 * KB)),
  keys: `{${many(99 * KB, (index) => `"key ${index}":"a text of some length"`)}}`,
  tooLong: JSON.stringify({ query: "{ __typename }", variables: { text: "x".repeat(20 * MB) } }),
  values: `[${many(90 * KB, (index) => `"text ${index} of a length that fills"`)}]`,
};

const job = (json: string) =>
  `{"query":"query ($id: UUID!) { aiJob(jobId: $id) { state } }","variables":{"id":${json}}}`;
const states = (json: string) => `{"query":${JSON.stringify(STATES)},"variables":{"states":${json}}}`;
const refs = (items: string) => `{"query":${JSON.stringify(REFS)},"variables":{"refs":[${items}]}}`;
const SUBMIT_INPUT = "mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename } }";
const refused = (json: string) => `{"query":${JSON.stringify(SUBMIT_INPUT)},"variables":{"input":${json}}}`;
const STEP = `mutation ($payload: JSON) { advanceWorkflow(input: { workflowRunId: "${JOB}", leaseToken: "${"A".repeat(43)}",
  step: { nodeId: "n", nodeType: "t", outcome: STARTED, inputPayload: $payload } }) { __typename } }`;
const step = (json: string) => `{"query":${JSON.stringify(STEP)},"variables":{"payload":${json}}}`;

const posts = (
  name: string,
  kind: Attack["kind"],
  body: (number: number) => string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): Attack => ({
  name,
  kind,
  once: ({ next, post }) => post(body(next()), headers),
});

const gets = (name: string, search: string, headers: Readonly<Record<string, string>> = {}): Attack => ({
  name,
  kind: "refused",
  once: ({ send }) => send("GET", search, headers),
});

/** What is refused by its headers, its encoding or its first bytes, or for a fault in it. */
const REFUSED_REQUESTS: readonly Attack[] = [
  gets("GET of variables that are cut off", "?query={__typename}&variables={"),
  gets("GET with headers of 60 kB", "?query={__typename}", { "x-long": "h".repeat(60 * KB) }),
  gets("GET of a path of 15 kB", `/${"p".repeat(15 * KB)}`),
  posts("a body that says it is gzip", "refused", () => "x".repeat(4 * MB), { "content-encoding": "gzip" }),
  posts("a body that is not UTF-8", "refused", () => Buffer.alloc(4 * MB, 0xff)),
  posts("a body of 20 MB", "refused", () => texts.tooLong),
  posts("one key 90,000 times", "refused", () => `{${many(90 * KB, () => '"query":"{a}"')}}`),
  posts("a bad UUID of 3.9 MB", "refused", () => job(`"${"x".repeat(3_900 * KB)}"`)),
  posts("a word of 3.9 MB for an enum", "refused", () => states(`["${"x".repeat(3_900 * KB)}"]`)),
  posts("90,000 unknown fields", "refused", () => refused(`{${many(90 * KB, (i) => `"k${i}":1`)}}`)),
  posts("60 unknown fields beside 3.9 MB", "refused", () =>
    refused(`{"jobInputs":"${"x".repeat(3_900 * KB)}",${many(60, (i) => `"k${i}":1`)}}`),
  ),
  posts("33,000 entities", "refused", () => refs(many(33 * KB, (i) => `{"entityKind":"d","entityId":"${i}"}`))),
  {
    ...posts("1,990 bad entities", "refused", () => refs(many(1_990, () => '{"entityKind":"","entityId":""}'))),
    isAnswered: true,
  },
  posts("99,000 good enum words", "refused", () => states(`[${many(99 * KB, () => '"QUEUED"')}]`)),
  {
    ...posts("a step's payload of 90,000 items", "refused", () => step(`[${many(90 * KB, () => "1234")}]`)),
    isAnswered: true,
  },
  posts("640 fragments that spread each other", "refused", (n) =>
    document(`{ ...f0 } ${many(390, (i) => `fragment f${i} on Query { ...f${(i + 1) % 390} }`, " ")}`, n),
  ),
  posts("900 directives", "refused", (n) => document(`{ __typename ${"@x ".repeat(900)} }`, n)),
  posts("conflicts 15 levels deep", "refused", (n) =>
    document(
      `{ ${many(20, (i) => `a: aiJobs { ${"n: nodes { p: parentJob { ".repeat(6)} x: state${i} ${"} } ".repeat(6)} }`, " ")} }`,
      n,
    ),
  ),
];

/** What is done with connections, rather than with what is sent over them. */
const CONNECTIONS: readonly Attack[] = [
  {
    name: "thousands of cheap requests that are sent at once",
    kind: "refused",
    once: async (connection) => {
      const socket = await rawSocket(connection);
      const body = '{"query":"{ __typename }"}';
      socket.resume();
      await written(socket, `${headOf(connection)}Content-Length: ${body.length}\r\n\r\n${body}`.repeat(2_000));
      await Promise.race([rest(connection, 500), closed(socket)]);
      socket.destroy();
    },
  },
  {
    name: "999 reserved streams",
    kind: "refused",
    isAnswered: true,
    once: async ({ send, over }) => {
      for (let count = 0; count < 999 && !over.aborted; count++) await send("PUT", "", {});
    },
  },
  {
    name: "100 sockets of a byte a second",
    kind: "refused",
    once: async (connection) => {
      const sockets = await Promise.all(Array.from({ length: 100 }, () => rawSocket(connection)));
      for (const socket of sockets) socket.write(`${headOf(connection)}Content-Length: 4900000\r\n\r\n`);
      for (let count = 0; count < 30 && !connection.over.aborted; count++) {
        for (const socket of sockets) socket.write(" ");
        await rest(connection, 1_000);
      }
      for (const socket of sockets) socket.destroy();
    },
  },
  {
    name: "1,000 idle sockets",
    kind: "refused",
    once: async (connection) => {
      const sockets = await Promise.all(Array.from({ length: 1_000 }, () => rawSocket(connection)));
      await rest(connection, 30_000);
      for (const socket of sockets) socket.destroy();
    },
  },
  {
    name: "WebSockets that never begin",
    kind: "refused",
    once: async (connection) => {
      const sockets = await Promise.all(Array.from({ length: 50 }, () => webSocket(connection.url)));
      await rest(connection, 1_000);
      for (const socket of sockets) socket.terminate();
    },
  },
  {
    name: "connection_init of 4.9 MB",
    kind: "refused",
    once: async ({ url }) => {
      const socket = await webSocket(url);
      const left = once(socket, "close");
      socket.send(JSON.stringify({ type: "connection_init", payload: { text: "x".repeat(4_900 * KB) } }));
      await Promise.race([sleep(500), left]);
      socket.terminate();
    },
  },
  {
    name: "answers that are not read",
    kind: "large",
    once: async (connection) => {
      const sockets = await Promise.all(Array.from({ length: 5 }, () => rawSocket(connection)));
      const body = JSON.stringify({ query: getIntrospectionQuery() });
      for (const socket of sockets) {
        socket.pause();
        socket.write(`${headOf(connection)}Content-Length: ${body.length}\r\n\r\n${body}`.repeat(20));
      }
      await rest(connection, 1_000);
      for (const socket of sockets) socket.destroy();
    },
  },
];

export const ATTACKS: readonly Attack[] = [
  posts("distinct refused documents of 20 kB", "refused", (n) => document(`{ ${"x ".repeat(9_900)} }`, n)),
  posts("distinct refused bodies of 4.9 MB", "refused", (n) =>
    document(`{ __typename } #${"x".repeat(4_900 * KB)}`, n),
  ),
  posts("1.3 million {} in the inputs", "refused", () => submit(`[${many(1_300 * KB, () => "{}")}]`)),
  posts("330,000 keys in the inputs", "refused", () => submit(`{${many(330 * KB, (i) => `"k${i}":1`)}}`)),
  posts("970,000 texts in the inputs", "refused", () => submit(`[${many(970 * KB, () => '"a"')}]`)),
  posts("JSON of 2 million levels", "refused", () => submit("[".repeat(2 * MB) + "]".repeat(2 * MB))),
  posts(
    "40,000 snippets",
    "refused",
    () =>
      `{"query":${JSON.stringify(SNIPPETS)},"variables":{"snippets":[${many(40 * KB, (i) => `{"sourceId":"${i}","content":"a"}`)}]}}`,
  ),
  posts(
    "100,000 bad entities",
    "refused",
    () => `{"query":${JSON.stringify(REFS)},"variables":{"refs":[${many(100 * KB, () => '{"entityKind":1}')}]}}`,
  ),
  posts(
    "400,000 bad enum words",
    "refused",
    () => `{"query":${JSON.stringify(STATES)},"variables":{"states":[${many(400 * KB, () => '"NOPE"')}]}}`,
  ),
  posts("one field 1,200 times", "refused", (n) => document(`{ ${"aiJobs { nodes { jobId } } ".repeat(1_200)} }`, n)),
  posts("450 aliases that conflict", "refused", (n) =>
    document(`{ ${many(450, (i) => `a: aiJob(jobId: "${i}") { state }`, " ")} }`, n),
  ),
  posts("3,300 aliases", "refused", (n) => document(`{ ${many(3_300, (i) => `a${i}: __typename`, " ")} }`, n)),
  posts("as many fields as a document may have", "refused", (n) =>
    document(`{ ${"aiJobs { nodes { jobId } } ".repeat(280)} }`, n),
  ),
  posts("a list literal of 9,900", "refused", (n) =>
    document(`{ aiJobs(filter: { states: [${"QUEUED ".repeat(9_900)}] }) { totalCount } }`, n),
  ),
  {
    name: "pings of 1 MB that are not read",
    kind: "refused",
    once: async ({ url }) => {
      const socket = await acknowledged(url);
      socket.pause();
      const ping = JSON.stringify({ type: "ping", payload: { text: "x".repeat(MB) } });
      for (let count = 0; count < 50 && socket.readyState === socket.OPEN; count++) {
        await new Promise((resolve) => socket.send(ping, resolve));
      }
      socket.terminate();
    },
  },
  {
    name: "subscribe and complete on one socket",
    kind: "refused",
    once: async ({ url, next, over }) => {
      const socket = await acknowledged(url);
      const query = `subscription { aiJobChanged(jobId: "${JOB}") { version } }`;
      for (let count = 0; count < 20_000 && socket.readyState === socket.OPEN && !over.aborted; count++) {
        const id = String(next());
        socket.send(JSON.stringify({ id, type: "subscribe", payload: { query } }));
        socket.send(JSON.stringify({ id, type: "complete" }));
        if (socket.bufferedAmount > MB) await sleep(10);
      }
      socket.terminate();
    },
  },
  {
    name: "keys that are none",
    kind: "refused",
    // A server without auth looks at no key.
    isAnswered: true,
    once: ({ post }) => post('{"query":"{ __typename }"}', { authorization: `Bearer ${newApiKeySecret()}` }),
  },
  posts("one long key of 3.9 MB", "large", () => submit(texts.longKey)),
  posts("3.9 MB of U+FDFA", "large", () => submit(texts.ligatures)),
  posts("3.9 MB of combining marks", "large", () => submit(texts.marks)),
  posts("3.9 MB of near-patterns", "large", () => submit(texts.nearPatterns)),
  posts("3.9 MB of 90,000 texts", "large", () => submit(texts.values)),
  posts("3.9 MB of 99,000 keys", "large", () => submit(texts.keys)),
  works("near-patterns of 3.9 MB in inputs, snippet and outputs", texts.nearPatterns),
  works("90,000 texts in inputs, snippet and outputs", texts.values),
  works("99,000 keys in inputs, snippet and outputs", texts.keys),
  ...REFUSED_REQUESTS,
  ...CONNECTIONS,
];

/** The attacker's own credential, where the server asks for one. */
const CREDENTIAL: Readonly<Record<string, string>> =
  process.env.ATTACKER_KEY === undefined ? {} : { authorization: `Bearer ${process.env.ATTACKER_KEY}` };

async function webSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url.replace("http", "ws"), "graphql-transport-ws", { headers: CREDENTIAL });
  socket.on("error", () => undefined);
  await once(socket, "open");
  return socket;
}

async function acknowledged(url: string): Promise<WebSocket> {
  const socket = await webSocket(url);
  socket.send(JSON.stringify({ type: "connection_init", payload: CREDENTIAL }));
  await once(socket, "message");
  return socket;
}

async function rawSocket({ url }: Connection): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

const headOf = ({ url }: Connection) => {
  const credential = Object.entries(CREDENTIAL).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST /graphql HTTP/1.1\r\nHost: ${new URL(url).host}\r\nContent-Type: application/json\r\n${credential.join("")}`;
};
const written = (socket: Socket, text: string) => new Promise<void>((resolve) => socket.write(text, () => resolve()));
/** Waits, but not beyond the end of the attack. */
const rest = ({ over }: Connection, ms: number) => sleep(ms, undefined, { signal: over }).catch(() => undefined);
const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));

/** How the answers to an attacker were, by the class of their status: 2 to 5; 0 where the connection was closed instead. */
export type Answers = Record<number, number>;

/** A connection that is kept, over which one request follows the other. */
export function connectionTo(url: string, next: () => number, over: AbortSignal, answers: Answers = {}): Connection {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (
    method: string,
    target: string,
    headers: Readonly<Record<string, string | number>>,
    body: string | Buffer = "",
  ) =>
    new Promise<string>((resolve) => {
      let isCounted = false;
      const count = (status = 0) => {
        if (!isCounted) answers[Math.floor(status / 100)] = (answers[Math.floor(status / 100)] ?? 0) + 1;
        isCounted = true;
      };
      const sent = request(target, { method, agent, headers }, (response) => {
        count(response.statusCode);
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("close", () => resolve(Buffer.concat(parts).toString()));
      });
      // A server may close a connection rather than read on.
      sent.on("error", () => {
        count();
        resolve("");
      });
      sent.end(body);
    });
  const accept = "application/graphql-response+json, application/json";
  const post = (body: string | Buffer, headers: Readonly<Record<string, string>> = {}) => {
    const own = {
      accept,
      ...CREDENTIAL,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    return ask("POST", url, { ...own, ...headers }, body);
  };
  return {
    url,
    next,
    over,
    post: async (body, headers) => void (await post(body, headers)),
    ask: post,
    send: async (method, search, headers) =>
      void (await ask(method, url + search, { accept, ...CREDENTIAL, ...headers })),
  };
}
