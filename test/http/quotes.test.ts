import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { withShortQuotes } from "../../src/quote.ts";
import { openTestDatabase } from "../support/database.ts";
import { answerSchema, type LoggedServer, operation, startLoggedServer } from "../support/http.ts";

/** What messages quote of a request: at most 100 characters that stand together, wherever the client's text stood in it. */

const MAX_QUOTED = 100;

let database: Database;
let server: LoggedServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startLoggedServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

/** Texts of clients, long ones: each but the first two could end what quotes it, or look like the words after it. */
const NAME = "n".repeat(3_000);
const WORDS = "a b ".repeat(2_000);
const TEXTS = [
  NAME,
  WORDS,
  `${WORDS}" at "input.x"; ${WORDS}`,
  `${WORDS}" does not exist in "JobState" enum. ${WORDS}`,
  `${WORDS}\\"}]\n\u2028'"""${WORDS}`,
  "\u{1F600}".repeat(500),
  '"'.repeat(1_000),
];

const SUBMIT =
  "mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename ... on Error { message } ... on InvalidInputError { path issues { path message } } } }";
const submit = (more: object) => operation(SUBMIT, { input: { jobKind: "DOC_EDIT", protocolId: "p", ...more } });
const list = (declared: string, argument: string) =>
  `query ($value: ${declared}) { aiJobs(${argument}) { totalCount } }`;
const literal = (text: string) => JSON.stringify(text);
const ADVANCE = (step: string) =>
  `mutation { advanceWorkflow(input: { workflowRunId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b", leaseToken: "x", step: ${step} }) { __typename ... on Error { message } } }`;

/** Faulty requests with a client's text in them, by what is wrong. */
const FAULTY: Readonly<Record<string, (text: string) => string>> = {
  "a word for an enum": (text) => operation(list("[JobState!]", "filter: { states: $value }"), { value: [text] }),
  "a word for a job kind": (text) => submit({ jobKind: text }),
  "an object for an enum": (text) =>
    operation(list("[JobState!]", "filter: { states: $value }"), { value: [{ [text]: text }] }),
  "a text for a number": (text) => operation(list("Int", "first: $value"), { value: text }),
  "a list for a number": (text) => operation(list("Int", "first: $value"), { value: Array(30).fill(text) }),
  "a list of short texts for a number": () => operation(list("Int", "first: $value"), { value: Array(300).fill("ab") }),
  "an object of many keys for a number": () =>
    operation(list("Int", "first: $value"), {
      value: Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`key${i}`, i])),
    }),
  "a text for a UUID": (text) => operation(list("UUID", "filter: { traceId: $value }"), { value: text }),
  "a list for a UUID": (text) => operation(list("UUID", "filter: { traceId: $value }"), { value: [text] }),
  "a text for a DateTime": (text) => operation(list("DateTime", "filter: { createdAfter: $value }"), { value: text }),
  "a text for a SafeInt": (text) =>
    operation("mutation ($n: SafeInt!) { setQuota(input: { resource: JOBS, max: $n }) { __typename } }", { n: text }),
  "a text for a Cursor": (text) =>
    operation("subscription ($after: Cursor) { aiJobsChanged(after: $after) { version } }", { after: [text] }),
  "a text for a cursor of a list": (text) => operation(list("String", "after: $value"), { value: text }),
  "a text for an ID": (text) => operation("query ($id: ID!) { node(id: $id) { id } }", { id: { [text]: 1 } }),
  "a text for a Boolean": (text) => operation(list("Boolean", "filter: { rootsOnly: $value }"), { value: text }),
  "a list for a text": (text) => operation(list("String", "filter: { protocolId: $value }"), { value: [text, text] }),
  "a text that is too long": (text) => submit({ protocolId: text }),
  "a text for an input": (text) => operation(SUBMIT, { input: text }),
  "an unknown field of an input": (text) => submit({ [text]: 1 }),
  "an unknown field in an input that has all else": (text) => submit({ protocolId: text, nope: text }),
  "an input that lacks a field": (text) => operation(SUBMIT, { input: { protocolId: text } }),
  "null for a field, beside a text": (text) => submit({ priority: null, jobInputs: text }),
  "a key with U+0000": (text) => submit({ jobInputs: { [`${text}\0`]: 1 } }),
  "a number beyond 2^53 under a key": (text) => submit({ jobInputs: { [text]: 2 ** 60 } }),
  "a capability profile that there is not": (text) => submit({ capabilityProfileId: text.slice(0, 190) }),
  "an operationName": (text) => JSON.stringify({ query: "query A { __typename }", operationName: text }),
  "a parameter of the request": (text) => JSON.stringify({ query: "{ __typename }", [text]: 1 }),
  "a query that is a text": (text) => operation(literal(text)),
  "a text where there must be a name": (text) => operation(`{ aiJobs(${literal(text)}: 1) { totalCount } }`),
  "a literal for an enum": (text) => operation(`{ aiJobs(filter: { states: ${literal(text)} }) { totalCount } }`),
  "a literal for a number": (text) => operation(`{ aiJobs(first: ${literal(text)}) { totalCount } }`),
  "a literal for a UUID": (text) => operation(`{ aiJob(jobId: ${literal(text)}) { state } }`),
  "a literal for a DateTime": (text) =>
    operation(`{ aiJobs(filter: { createdAfter: ${literal(text)} }) { totalCount } }`),
  "a literal for an input": (text) => operation(`mutation { submitAiJob(input: ${literal(text)}) { __typename } }`),
  "a literal list for a number": (text) => operation(`{ aiJobs(first: [${literal(text)}, 1, 1, 1]) { totalCount } }`),
  "a block string for a number": (text) =>
    operation(`{ aiJobs(first: """${text.replaceAll('"', "")}""") { totalCount } }`),
  "a block string where there must be a name": (text) => operation(`{ """${text.replaceAll('"', "")}""" }`),
  "a literal object for a number": (text) =>
    operation(`{ aiJobs(first: { a: ${literal(text)}, b: [1, 2] }) { totalCount } }`),
  "a long number": () => operation(`{ aiJobs(first: ${"9".repeat(5_000)}) { totalCount } }`),
  "a list of many numbers for a number": () =>
    operation(`{ aiJobs(first: [${Array(300).fill("1").join(", ")}]) { totalCount } }`),
  "a step's name that is too long": (text) =>
    operation(ADVANCE(`{ nodeId: ${literal(text)}, nodeType: "t", outcome: STARTED }`)),
  "a persisted query's hash": (text) =>
    JSON.stringify({ extensions: { persistedQuery: { version: 1, sha256Hash: text } } }),
  "a body that is no object": (text) => literal(text),
  "a body that is no JSON": (text) => `{"query": ${text}`,
};

/** Faulty documents with a name of a client's in them. */
const NAMES: Readonly<Record<string, (name: string) => string>> = {
  "a field": (name) => `{ ${name} }`,
  "a field of an object": (name) => `{ aiJobs { ${name} } }`,
  "an argument": (name) => `{ aiJobs(${name}: 1) { totalCount } }`,
  "an input's field": (name) => `{ aiJobs(filter: { ${name}: 1 }) { totalCount } }`,
  "an enum's word": (name) => `{ aiJobs(filter: { states: [${name}] }) { totalCount } }`,
  "a word for JSON": (name) =>
    `mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p", jobInputs: ${name} }) { __typename } }`,
  "a word for a number": (name) => `{ aiJobs(first: ${name}) { totalCount } }`,
  "a variable that is not declared": (name) => `{ aiJobs(first: $${name}) { totalCount } }`,
  "a variable that is not used": (name) => `query ($${name}: Int) { __typename }`,
  "a variable of an unknown type": (name) => `query ($a: ${name}) { aiJobs(first: $a) { totalCount } }`,
  "a variable that is not given": (name) => `query ($${name}: UUID!) { aiJob(jobId: $${name}) { state } }`,
  "a fragment that there is not": (name) => `{ ...${name} }`,
  "a fragment in a circle": (name) => `{ ...${name} } fragment ${name} on Query { ...${name} }`,
  "a fragment on an unknown type": (name) => `{ ...f } fragment f on ${name} { a }`,
  "a directive": (name) => `{ __typename @${name} }`,
  "an alias twice": (name) => `{ ${name}: __typename ${name}: aiJobs { totalCount } }`,
  "aliases in aliases that conflict": (name) =>
    `{ aiJobs { ${name}: nodes { ${name}: parentJob { ${name}: jobId } } } aiJobs { ${name}: nodes { ${name}: parentJob { ${name}: state } } } }`,
  "an alias of many lists": (name) => `{ ${`${name.slice(0, 200)}: aiJobs { totalCount } `.repeat(60)} }`,
  "two operations of one name": (name) => `query ${name} { __typename } query ${name} { __typename }`,
  "a name after the end": (name) => `{ __typename } ${name}`,
};

const REQUESTS = [
  ...Object.entries(FAULTY).flatMap(([what, body]) =>
    TEXTS.map((text, index) => ({ what: `${what}, ${index}`, body: body(text) })),
  ),
  ...Object.entries(NAMES).map(([what, query]) => ({ what: `${what}, by its name`, body: operation(query(NAME)) })),
];

/** Every text under `message` or `path` in an answer. */
function messagesIn(value: unknown, isMessage = false): string[] {
  if (typeof value === "string") return isMessage ? [value] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    messagesIn(inner, isMessage || key === "message" || key === "path"),
  );
}

/** The longest run of characters of the message that stands in the request, too, in any way to write it. */
function longestQuote(message: string, request: string): number {
  const forms = [
    request,
    request.replaceAll('\\"', '"'),
    request.replaceAll("\\\\", "\\"),
    request.replaceAll('\\\\\\"', '"'),
  ];
  let longest = 0;
  for (let start = 0; start + longest < message.length; start++) {
    while (
      start + longest < message.length &&
      forms.some((form) => form.includes(message.slice(start, start + longest + 1)))
    )
      longest += 1;
  }
  return longest;
}

const expectShort = (text: string, request: string) => {
  for (const message of messagesIn(JSON.parse(text))) {
    expect(message.length).toBeLessThanOrEqual(1_200);
    expect({ message, quoted: longestQuote(message, request) <= MAX_QUOTED }).toEqual({ message, quoted: true });
  }
};

describe("at most 100 characters of the client's are quoted, and nothing is logged, for", () => {
  test.each(REQUESTS)("$what", async ({ body }) => {
    server.logged();
    const response = await fetch(server.url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/graphql-response+json, text/event-stream;q=0.5",
      },
      body,
    });
    const text = await response.text();
    expect(response.status).toBeLessThan(500);
    expect(text).toMatch(/"(message|__typename|data)"/);
    expectShort(text.replace(/^[^{]*/, "").replace(/\}\n[^}]*$/, "}"), body);
    expect(server.logged()).toEqual([]);
  });

  test.each([
    "x-workspace-id",
    "origin",
    "accept",
    "content-encoding",
    "x-graphql-event-stream-token",
    "last-event-id",
  ])("the header %s", async (name) => {
    const value = "h".repeat(3_000);
    const headers = { "content-type": "application/json", [name]: value };
    const response = await fetch(server.url, { method: "POST", headers, body: operation("{ __typename }") });
    expect(response.status).toBeLessThan(500);
    expectShort(await response.text(), value);
  });

  test("a path, and the parameters of a GET", async () => {
    for (const search of [
      `/${NAME}`,
      `/graphql?query={${NAME}}`,
      `/graphql?query={__typename}&operationName=${NAME}`,
      `/graphql?variables={${NAME}`,
    ]) {
      const response = await fetch(new URL(search, server.url), { headers: { accept: "application/json" } });
      expect(response.status).toBeLessThan(500);
      expectShort(await response.text(), search);
    }
  });

  test("an operation over a WebSocket", async () => {
    const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws");
    await once(socket, "open");
    socket.send('{"type":"connection_init"}');
    await once(socket, "message");
    const refused = REQUESTS.filter(({ what }) => what.endsWith("by its name"));
    let answered = 0;
    socket.on("message", (data: Buffer) => {
      const { id, type } = z.object({ id: z.coerce.number(), type: z.string() }).parse(JSON.parse(String(data)));
      if (type === "complete") return;
      answered += 1;
      expectShort(String(data), refused[id]?.body ?? "");
    });
    for (const [id, { body }] of refused.entries()) socket.send(`{"id":"${id}","type":"subscribe","payload":${body}}`);
    await vi.waitUntil(() => answered === refused.length, { timeout: 20_000 });
    socket.terminate();
  });
});

test("what is shortened still says what is wrong, and where", async () => {
  const long = "x".repeat(500);
  const ask = async (body: string) => {
    const response = await fetch(server.url, { method: "POST", headers: { "content-type": "application/json" }, body });
    return answerSchema.parse(await response.json()).errors?.[0]?.message;
  };
  expect(await ask(operation(list("[JobState!]", "filter: { states: $value }"), { value: ["QUEUED", long] }))).toBe(
    `Variable "$value" got invalid value "${"x".repeat(96)} … at "value[1]"; Value "${"x".repeat(97)} …" does not exist in "JobState" enum.`,
  );
  expect(await ask(operation(`{ ${long} }`))).toBe(`Cannot query field "${"x".repeat(97)} …" on type "Query".`);
  expect(withShortQuotes("a sentence of this server's ".repeat(5))).toBe("a sentence of this server's ".repeat(5));
});
