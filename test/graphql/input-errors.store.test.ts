import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, submitted } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What a form, a person at GraphiQL and Relay need of an error: all of it, its place, and words that people know. */

let db: TestDatabase;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

async function post(query: string, variables: object = {}) {
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const body: Record<string, unknown> = Object(await response.json());
  return body;
}

describe("a form", () => {
  test("gets all its faults at once, each with its field, in words of its own", async () => {
    const input = { jobKind: "DOC_SUMMARIZE", protocolId: "", maxAttempts: 0, idempotencyKey: "k".repeat(201) };
    const query = `mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) {
      ... on InvalidInputError { message path issues { path message } } } }`;
    const issues = [
      { path: ["input", "idempotencyKey"], message: "must have at most 200 characters" },
      { path: ["input", "maxAttempts"], message: "must be at least 1" },
      { path: ["input", "protocolId"], message: "must have at least 1 character" },
    ];
    expect(await post(query, { input })).toEqual({
      data: {
        submitAiJob: {
          message:
            "input.idempotencyKey: must have at most 200 characters. input.maxAttempts: must be at least 1. " +
            "input.protocolId: must have at least 1 character. Nothing was changed.",
          path: ["input", "idempotencyKey"],
          issues,
        },
      },
    });
  });

  test("gets one issue where the domain finds one", async () => {
    const query = `mutation { setQuota(input: { resource: TOKENS, max: 5 }) {
      ... on InvalidInputError { path issues { path message } } } }`;
    expect(await post(query)).toMatchObject({
      data: { setQuota: { path: ["input", "windowSeconds"], issues: [{ path: ["input", "windowSeconds"] }] } },
    });
  });
});

describe("an error of a field", () => {
  test("has its place in the answer and in the document, as has each of two that are alike", async () => {
    const { errors } = await post('{ a: node(id: "zzz") { id } b: node(id: "zzz") { id } }');
    expect(errors).toMatchObject([
      { path: ["a"], locations: [{ line: 1, column: 3 }], extensions: { code: "INVALID_INPUT", path: ["id"] } },
      { path: ["b"], locations: [{ line: 1, column: 29 }], extensions: { code: "INVALID_INPUT", path: ["id"] } },
    ]);
  });

  test.each([
    ["a UUID", '{ aiJob(jobId: "zzz") { state } }', /^jobId: zzz is not a UUID\.$/, 16],
    [
      "a UUID that is a number",
      "{ aiJob(jobId: 7) { state } }",
      /^jobId: a literal of kind StringValue is expected here\.$/,
      16,
    ],
    ["a DateTime", '{ aiJobs(filter: { createdAfter: "soon" }) { totalCount } }', /^createdAfter: /, 34],
    [
      "a list of UUIDs",
      '{ aiJobs(filter: { parentJobId: "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b", createdBefore: "x" }) { totalCount } }',
      /^createdBefore: /,
      88,
    ],
  ])("of a literal names its field and place: %s", async (_what, query, message, column) => {
    const { errors } = await post(query);
    expect(errors).toMatchObject([
      {
        message: expect.stringMatching(message),
        locations: [{ line: 1, column }],
        extensions: { code: "INVALID_INPUT" },
      },
    ]);
  });
});

describe("JSON in a document", () => {
  const submit = (json: string, declare = "") =>
    `mutation ${declare} { submitAiJob(input: { jobKind: DOC_SUMMARIZE, protocolId: "p", jobInputs: ${json} }) {
      ... on SubmitAiJobPayload { job { jobInputs } } ... on Error { code message } } }`;

  test.each(["{ tags: [A, B] }", "{ mode: DRAFT }", "[[[{ a: { b: [DEEP] } }]]]", "WORD"])(
    "refuses an enum's word, which JSON cannot hold: %s",
    async (json) => {
      const { errors, data } = await post(submit(json));
      expect(data).toBeUndefined();
      expect(errors).toMatchObject([
        {
          message: expect.stringContaining("is no JSON"),
          locations: [{ line: 1 }],
          extensions: { code: "INVALID_INPUT" },
        },
      ]);
    },
  );

  test.each([
    ['{ a: "x", b: [1, 2.5, true, null], c: {} }', { a: "x", b: [1, 2.5, true, null], c: {} }],
    ['[-1, 1e3, "€", [[]]]', [-1, 1000, "€", [[]]]],
    ['{ __proto__: { x: 1 }, constructor: "c" }', JSON.parse('{"__proto__":{"x":1},"constructor":"c"}')],
    ['"text"', "text"],
  ])("keeps what JSON can hold: %s", async (json, stored) => {
    expect(await post(submit(json))).toEqual({ data: { submitAiJob: { job: { jobInputs: stored } } } });
  });

  test("takes variables inside it; one that is not given is a field that is not there", async () => {
    const query = submit("{ a: $a, b: $b, list: [$a, $b] }", "($a: JSON, $b: JSON)");
    expect(await post(query, { a: { x: [1] } })).toEqual({
      data: { submitAiJob: { job: { jobInputs: { a: { x: [1] }, list: [{ x: [1] }, null] } } } },
    });
  });
});

test("nodes answers null in the place of what is no global id, and the others as they are", async () => {
  const job = await submitted(engineOn(db));
  const id = Buffer.from(`AiJob:${job.jobId}`).toString("base64");
  const query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
  const foreign = Buffer.from("BulkActionPayload:1").toString("base64");
  expect(await post(query, { ids: ["zzz", id, foreign, id, ""] })).toEqual({
    data: { nodes: [null, { id }, null, { id }, null] },
  });
});
