import { request as httpRequest } from "node:http";
import { getIntrospectionQuery } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import {
  type Answer,
  answerSchema,
  everything,
  type LoggedServer,
  operation,
  post,
  send,
  startLoggedServer,
} from "../support/http.ts";

/** Requests that no honest client sends: each has its answer, nothing is changed, and nothing about it is unexpected. */

let db: TestDatabase;
let server: LoggedServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startLoggedServer(db);
  await submitted(engineOn(db));
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const JSON_BODY = { "content-type": "application/json" };
const MOST_BYTES = 5_000_000;
const SUBMIT = 'submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { __typename }';

/** What is answered to a request after which every row of the database is as it was, and the log says nothing. */
async function unchanged(ask: () => Promise<Answer>): Promise<Answer> {
  const before = await everything(db.prisma);
  server.logged();
  const answer = await ask();
  expect(await everything(db.prisma)).toEqual(before);
  expect(server.logged()).toEqual([]);
  return answer;
}

/** A refusal of the whole request: its status, and the code and message of its one error. */
function refusal(status: number, message: RegExp, code = "INVALID_INPUT") {
  return {
    status,
    errors: [{ message: expect.stringMatching(message), extensions: expect.objectContaining({ code }) }],
  };
}

describe("an operation is refused before it runs", () => {
  const many = (count: number, of: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => of(i)).join(" ");
  const within = (levels: number, open: string, inner: string) => open.repeat(levels) + inner + "}".repeat(levels);
  test.each([
    ["without any text", "", /Syntax Error/],
    ["that is cut off", "{ aiJobs(", /Syntax Error/],
    ["with a field that there is not", "{ nope }", /Cannot query field "nope"/],
    [
      "with fragments in a circle",
      "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
      /within itself/,
    ],
    ["with a type definition", "type Query { a: Int }", /what operation to execute/],
    ["of 100,001 characters", `{ __typename } #${"x".repeat(99_985)}`, /100000/],
    ["of 5,000,000 characters", `{ __typename } #${"x".repeat(4_990_000)}`, /100000/],
    ["of more than 2,000 tokens", `{ ${many(2_000, () => "a")} }`, /2000 tokens/],
    ["with 1,000 aliases of a mutation", `mutation { ${many(1000, (i) => `a${i}: ${SUBMIT}`)} }`, /2000 tokens/],
    ["with lists in lists, 3,000 levels", `{ aiJobs(first: ${"[".repeat(3000)}`, /nested too deeply|Syntax Error/],
    ["with fields in fields, 3,000 levels", `{ ${within(3000, "a { ", "b")} }`, /nested too deeply/],
    [
      "that introspects without end",
      `{ __schema { types { ${"fields { type { ".repeat(4)} name ${"} }".repeat(4)} } } }`,
      /introspection/,
    ],
    ["with a text for a number", '{ aiJobs(first: "1") { totalCount } }', /Int cannot represent/],
    [
      "with an unknown job kind as a literal",
      "{ aiJobs(filter: { kinds: [NOPE] }) { totalCount } }",
      /NOPE/,
      "INVALID_JOB_KIND",
    ],
    [
      "with a job kind as a text",
      '{ aiJobs(filter: { kinds: ["DOC_EDIT"] }) { totalCount } }',
      /JobKind.* Accepted: DOC_EDIT, \w+/,
      "INVALID_JOB_KIND",
    ],
  ])("%s", async (_what, document, says, code = "INVALID_INPUT") => {
    const answer = await unchanged(() => post(server.url, operation(document)));
    expect(answer).toMatchObject(refusal(400, says, code));
    expect(answer.data).toBeUndefined();
  });

  test("answers 200 to a client of before, which reads application/json", async () => {
    const answer = await unchanged(() => post(server.url, operation("{ nope }"), { accept: "application/json" }));
    expect(answer).toMatchObject(refusal(200, /nope/));
  });

  test.each([
    ["320 aliases of a list", `{ ${many(320, (i) => `a${i}: aiJobs { totalCount }`)} }`, /breadth 640 of 600/],
    ["1,000 aliases of a list", `{ ${many(1000, (i) => `a${i}: aiJobs { totalCount }`)} }`, /2000 tokens/],
    ["400 aliases of a mutation", `mutation { ${many(400, (i) => `a${i}: ${SUBMIT}`)} }`, /2000 tokens/],
    ["one list 280 times", `{ ${"aiJobs { nodes { jobId } } ".repeat(280)} }`, /selects aiJobs more than 50 times/],
    ["20 parents of parents", `{ aiJobs { nodes { ${within(20, "parentJob { ", "jobId")} } } }`, /depth 23 of 15/],
    [
      "100 events of each of 100 jobs",
      "{ aiJobs(first: 100) { nodes { events(first: 100) { nodes { hash type version } } } } }",
      /complexity 40\d{3} of 25000/,
    ],
    [
      "pages of pages of pages",
      "{ aiJobs(last: 100) { edges { node { workflowRuns(first: 100) { nodes { job { events { nodes { hash } } } } } } } } }",
      /complexity \d{6} of 25000/,
    ],
  ])("that asks for too much: %s", async (_what, document, says) => {
    const answer = await unchanged(() => post(server.url, operation(document)));
    expect(answer.errors?.[0]).toMatchObject({
      message: expect.stringMatching(says),
      extensions: { code: "INVALID_INPUT" },
    });
    expect(answer.data ?? null).toBeNull();
  });

  test("and what asks for much, but not for too much, is answered", async () => {
    const page =
      "{ aiJobs(first: 100) { nodes { jobId state workflowRun { state } events(first: 20) { nodes { type hash } } } } }";
    expect(await unchanged(() => post(server.url, operation(page)))).toMatchObject({ status: 200 });
    const answer = await unchanged(() =>
      post(server.url, operation(getIntrospectionQuery({ inputValueDeprecation: true }))),
    );
    expect(answer).toMatchObject({ status: 200, data: { __schema: { queryType: { name: "Query" } } } });
  });
});

describe("arguments are refused, with the name of the one at fault", () => {
  const global = (text: string) => Buffer.from(text).toString("base64");
  const cursor = (...key: unknown[]) => Buffer.from(JSON.stringify(key)).toString("base64url");
  const uuid = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
  test.each([
    ["first: 0", "aiJobs(first: 0) { totalCount }", "first"],
    ["first: -1", "aiJobs(first: -1) { totalCount }", "first"],
    ["first: 101", "aiJobs(first: 101) { totalCount }", "first"],
    ["last: 0", "aiJobs(last: 0) { totalCount }", "last"],
    ["last: 101", "aiJobs(last: 101) { totalCount }", "last"],
    ["first and last", "aiJobs(first: 1, last: 1) { totalCount }", "last"],
    ["first: 101 of events", "flightRecorderEvents(first: 101) { edges { cursor } }", "first"],
    ["U+0000 in a filter", 'aiJobs(filter: { protocolId: "\\u0000" }) { totalCount }', "filter", "protocolId"],
    ["a cursor that is none", 'aiJobs(after: "nope") { totalCount }', "after"],
    ["an empty cursor", 'aiJobs(before: "") { totalCount }', "before"],
    ["a cursor of another list", `aiJobs(after: "${cursor(7)}") { totalCount }`, "after"],
    ["a cursor of year 0", `aiJobs(after: "${cursor("0000-01-01T00:00:00.000Z", uuid)}") { totalCount }`, "after"],
    [
      "a cursor with more in it",
      `aiJobs(after: "${cursor("2026-01-01T00:00:00.000Z", uuid, 1)}") { totalCount }`,
      "after",
    ],
    [
      "a cursor beyond 32 bits",
      `flightRecorderEvents(after: "${cursor("2026-01-01T00:00:00.000Z", uuid, 2 ** 31)}") { edges { cursor } }`,
      "after",
    ],
    ["a global id that is none", 'node(id: "nope") { id }', "id"],
    ["an empty global id", 'node(id: "") { id }', "id"],
    ["a global id without an id", `node(id: "${global("AiJob:")}") { id }`, "id"],
    ["a global id of no type", `node(id: "${global(`Nope:${uuid}`)}") { id }`, "id"],
    ["a global id of what is no node", `node(id: "${global(`JobMetrics:${uuid}`)}") { id }`, "id"],
    ["a global id of a scalar", `node(id: "${global(`UUID:${uuid}`)}") { id }`, "id"],
    ["101 global ids", `nodes(ids: ${JSON.stringify(Array(101).fill(global(`AiJob:${uuid}`)))}) { id }`, "ids"],
  ])("%s", async (_what, field, ...path) => {
    const { errors, data } = await unchanged(() => post(server.url, operation(`{ asked: ${field} }`)));
    expect(errors).toMatchObject([{ extensions: { code: "INVALID_INPUT", path } }]);
    expect(data?.asked ?? null).toBeNull();
  });

  test.each([
    ["no UUID", `AiJob:nope`],
    ["U+0000", "WorkflowRun:\0"],
    ["an event without a version", `FlightRecorderEvent:${uuid}`],
    ["an event of a version beyond 32 bits", `FlightRecorderEvent:${uuid}:99999999999`],
    ["more than an id", `AiJob:${uuid}:1`],
  ])("and a global id of nothing there is gives null: %s", async (_what, text) => {
    const answer = await unchanged(() => post(server.url, operation(`{ node(id: "${global(text)}") { id } }`)));
    expect(answer).toEqual({ status: 200, data: { node: null } });
  });
});

describe("over HTTP", () => {
  const mutation = `mutation { ${SUBMIT} }`;
  const body = operation(mutation);
  test.each([
    ["a GET of a mutation", `?query=${encodeURIComponent(mutation)}`, { method: "GET" }, 405],
    ["a PUT", "", { method: "PUT", headers: JSON_BODY, body }, 405],
    ["a DELETE", "", { method: "DELETE" }, 405],
    ["a form", "", { method: "POST", body: new URLSearchParams({ query: mutation }) }, 415],
    ["text", "", { method: "POST", headers: { "content-type": "text/plain" }, body }, 415],
    [
      "text that says it is application/jsonp",
      "",
      { method: "POST", headers: { "content-type": "application/jsonp" }, body },
      415,
    ],
    [
      "a bare document",
      "",
      { method: "POST", headers: { "content-type": "application/graphql" }, body: mutation },
      415,
    ],
    ["a multipart form", "", { method: "POST", body: new FormData() }, 415],
    ["a body without a type", "", { method: "POST", body: new Blob([body]) }, 415],
    ["two operations in a list", "", { method: "POST", headers: JSON_BODY, body: `[${body},${body}]` }, 400],
    ["JSON that is cut off", "", { method: "POST", headers: JSON_BODY, body: body.slice(0, -1) }, 400],
    ["NaN, which is no JSON", "", { method: "POST", headers: JSON_BODY, body: operation(mutation, "NaN") }, 400],
    ["an empty body", "", { method: "POST", headers: JSON_BODY, body: "" }, 400],
    ["null", "", { method: "POST", headers: JSON_BODY, body: "null" }, 400],
    ["a text for a body", "", { method: "POST", headers: JSON_BODY, body: '"x"' }, 400],
    ["a number for the query", "", { method: "POST", headers: JSON_BODY, body: '{"query":1}' }, 400],
    [
      "a list for the variables",
      "",
      { method: "POST", headers: JSON_BODY, body: '{"query":"{__typename}","variables":[]}' },
      400,
    ],
    [
      "an operationName that is not there",
      "",
      { method: "POST", headers: JSON_BODY, body: `${body.slice(0, -1)},"operationName":"x"}` },
      400,
    ],
    [
      "two operations and no name",
      "",
      { method: "POST", headers: JSON_BODY, body: operation(`query A { __typename } ${mutation}`) },
      400,
    ],
    [
      "a workspace that is no UUID",
      "",
      {
        method: "POST",
        headers: { ...JSON_BODY, accept: "application/graphql-response+json", "x-workspace-id": "nope" },
        body,
      },
      400,
    ],
    [
      "an empty workspace",
      "",
      {
        method: "POST",
        headers: { ...JSON_BODY, accept: "application/graphql-response+json", "x-workspace-id": "" },
        body,
      },
      400,
    ],
  ] satisfies [string, string, RequestInit, number][])("%s", async (_what, search, init, status) => {
    const answer = await unchanged(() => send(server.url + search, init));
    expect(answer).toMatchObject({ status, errors: [{ extensions: { code: "INVALID_INPUT" } }] });
    expect(answer.data).toBeUndefined();
  });

  test.each([
    ["another site", "https://elsewhere.example"],
    ["another port of this machine", "http://127.0.0.1:1"],
    ["a file or a sandbox", "null"],
    ["no origin at all", "nonsense"],
  ])("a page of %s may not call", async (_what, origin) => {
    for (const init of [
      { method: "POST", headers: { ...JSON_BODY, origin }, body },
      { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } },
      { method: "GET", headers: { origin } },
    ]) {
      const answer = await unchanged(() => send(server.url, init));
      expect(answer).toMatchObject({ status: 403, errors: [{ extensions: { code: "FORBIDDEN" } }] });
    }
  });

  test("a page that the server serves itself may call", async () => {
    const { origin } = new URL(server.url);
    const answer = await send(server.url, {
      method: "POST",
      headers: { ...JSON_BODY, origin },
      body: operation("{ __typename }"),
    });
    expect(answer).toEqual({ status: 200, data: { __typename: "Query" } });
  });

  test.each([
    ["elsewhere.example", 403],
    ["127.0.0.1.elsewhere.example", 403],
    ["localhost.elsewhere.example:4000", 403],
    ["192.168.1.1", 403],
    ["localhost:4000", 200],
    ["127.1.2.3", 200],
    ["[::1]:4000", 200],
  ])("a request to the name %s is answered %i", async (host, status) => {
    const { status: answered } = await unchanged(() => sendTo(host, operation("{ __typename }")));
    expect(answered).toBe(status);
  });

  test.each(["a b", "[", "localhost:port", "localhost:99999", "%"])(
    "a request to what is no name at all is answered 400: %s",
    async (host) => {
      const answer = await unchanged(() => sendTo(host, operation("{ __typename }")));
      expect(answer).toMatchObject(refusal(400, /Host/));
    },
  );

  describe("a body", () => {
    const filled = (bytes: number) => {
      const empty = operation("query($x: JSON) { __typename }", { x: "" });
      return empty.replace('"x":""', `"x":"${"x".repeat(bytes - empty.length)}"`);
    };

    test.each([
      ["with its length told", (text: string) => text],
      ["in chunks", inChunks],
    ])("of 5,000,000 bytes is read, and of one more is not: %s", async (_how, as) => {
      for (const [bytes, status] of [
        [MOST_BYTES, 400],
        [MOST_BYTES + 1, 413],
      ] as const) {
        const init = {
          method: "POST",
          headers: { ...JSON_BODY, accept: "application/graphql-response+json" },
          body: as(filled(bytes)),
          duplex: "half",
        };
        const answer = await unchanged(() => send(server.url, init));
        // Read, it is refused for a variable that nothing uses: 400 is the answer of who has read it.
        expect(answer).toMatchObject({ status, errors: [{ extensions: { code: "INVALID_INPUT" } }] });
      }
    });
  });

  describe("a document of a job", () => {
    const submit = (jobInputs: string) =>
      post(
        server.url,
        operation(
          "mutation($i: SubmitAiJobInput!) { submitAiJob(input: $i) { __typename ... on InvalidInputError { path } } }",
          {
            i: { jobKind: "DOC_EDIT", protocolId: "large", jobInputs },
          },
        ),
      );

    test("of 4,000,000 bytes is kept, and of one more refused", async () => {
      const max = "é".repeat(1_999_999);
      expect(await submit(max)).toEqual({ status: 200, data: { submitAiJob: { __typename: "SubmitAiJobPayload" } } });
      const kept = await db.prisma.aiJob.findFirstOrThrow({ where: { protocolId: "large" } });
      expect(kept.jobInputs === max).toBe(true);
      expect(await unchanged(() => submit(`${max}x`))).toEqual({
        status: 200,
        data: { submitAiJob: { __typename: "InvalidInputError", path: ["input", "jobInputs"] } },
      });
    });
  });
});

/** A body whose length nobody tells beforehand. */
function inChunks(text: string): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(sent, sent + 65_536));
      sent += 65_536;
    },
  });
}

/** Sends under another name than the one it is sent to; fetch does not let anybody set it. */
function sendTo(host: string, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(server.url, { method: "POST", headers: { ...JSON_BODY, host } }, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      incoming.on("end", () => resolve({ ...answerSchema.parse(JSON.parse(text)), status: incoming.statusCode ?? 0 }));
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}
