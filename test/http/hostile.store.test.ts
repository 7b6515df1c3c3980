import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Claim } from "../../src/claims/acquire-lease.ts";
import { graphql } from "../generated/index.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started } from "../support/engine.ts";
import { type Answer, everything, type LoggedServer, operation, post, startLoggedServer } from "../support/http.ts";

/** Values that no honest client sends: each has its answer, nothing is changed, and nothing about it is unexpected. */

let db: TestDatabase;
let server: LoggedServer;
let claim: Claim;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startLoggedServer(db);
  claim = await started(engineOn(db), {}, 900);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const SUBMIT = graphql(`
  mutation HostileSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload {
        job {
          jobInputs
        }
      }
      ... on Error {
        code
      }
      ... on InvalidInputError {
        path
      }
    }
  }
`);

const HEARTBEATS = graphql(`
  mutation HostileHeartbeats($heartbeats: [WorkflowHeartbeatInput!]!) {
    heartbeatWorkflows(input: { heartbeats: $heartbeats }) {
      __typename
      ... on HeartbeatWorkflowsPayload {
        results {
          directive
          error {
            code
            ... on InvalidInputError {
              path
            }
          }
        }
      }
      ... on Error {
        code
      }
      ... on InvalidInputError {
        path
      }
    }
  }
`);

const ADVANCE = graphql(`
  mutation HostileAdvance($input: AdvanceWorkflowInput!) {
    advanceWorkflow(input: $input) {
      __typename
      ... on Error {
        code
      }
      ... on InvalidInputError {
        path
      }
    }
  }
`);

/** What is answered to an operation after which every row of the database is as it was, and the log says nothing. */
async function unchanged(body: string, headers: Record<string, string> = {}): Promise<Answer> {
  const before = await everything(db.prisma);
  server.logged();
  const answer = await post(server.url, body, headers);
  expect(await everything(db.prisma)).toEqual(before);
  expect(server.logged()).toEqual([]);
  return answer;
}

/** The input of a submit as JSON text, `more` being put into it as it is. */
function submit(more: string): string {
  return operation(SUBMIT, `{"input":{"jobKind":"DOC_EDIT","protocolId":"p",${more}}}`);
}

function heartbeat(more: string): string {
  const { run, leaseToken } = claim;
  return operation(HEARTBEATS, `{"heartbeats":[{"workflowRunId":"${run.id}","leaseToken":"${leaseToken}",${more}}]}`);
}

function advance(step: string, more = '"metrics":null'): string {
  const { run, leaseToken } = claim;
  const input = `{"workflowRunId":"${run.id}","leaseToken":"${leaseToken}","step":{"nodeType":"tool",${step}},${more}}`;
  return operation(ADVANCE, `{"input":${input}}`);
}

describe("a value that its type does not allow refuses the whole request", () => {
  const at = (path: string) => new RegExp(`at "${path.replace(/[[\].]/g, "\\$&")}"`);
  test.each([
    { value: "an unknown job kind", more: '"jobKind":"NOPE"', code: "INVALID_JOB_KIND", says: at("input.jobKind") },
    { value: "a job kind in lower case", more: '"jobKind":"doc_edit"', code: "INVALID_JOB_KIND", says: /"JobKind"/ },
    { value: "a legacy job kind", more: '"jobKind":"term_exec"', code: "INVALID_JOB_KIND", says: /"term_exec"/ },
    { value: "an enum word in the wrong case", more: '"accessMode":"Analysis_only"', says: at("input.accessMode") },
    { value: "null where there must be a value", more: '"protocolId":null', says: at("input.protocolId") },
    { value: "null for a value with a default", more: '"priority":null', says: at("input.priority") },
    { value: "null inside of a list", more: '"entityRefs":[null]', says: at("input.entityRefs[0]") },
    { value: "a number for a text", more: '"protocolId":5', says: at("input.protocolId") },
    { value: "a number beyond 32 bits", more: '"priority":2147483648', says: at("input.priority") },
    { value: "1e400 for a whole number", more: '"priority":1e400', says: at("input.priority") },
    { value: "a half attempt", more: '"maxAttempts":1.5', says: at("input.maxAttempts") },
    { value: "no moment", more: '"runAfter":"yesterday"', says: at("input.runAfter") },
    { value: "a day that is not", more: '"runAfter":"2026-02-30T00:00:00Z"', says: at("input.runAfter") },
    { value: "a moment before year 1", more: '"runAfter":"0000-12-31T23:59:59Z"', says: at("input.runAfter") },
    { value: "a moment after year 9999", more: '"runAfter":"9999-12-31T23:59:59-23:59"', says: at("input.runAfter") },
    { value: "a field that there is not", more: '"state":"COMPLETED"', says: /"state" is not defined/ },
    { value: "__proto__ as an input field", more: '"__proto__":{"jobKind":"DOC_EDIT"}', says: /"__proto__" is not/ },
  ])("$value", async ({ more, code = "INVALID_INPUT", says }) => {
    const { status, data, errors } = await unchanged(submit(more));
    expect({ status, data }).toEqual({ status: 400, data: undefined });
    expect(errors).toMatchObject([{ message: expect.stringMatching(says), extensions: { code } }]);
  });

  test.each([
    { delta: "a negative one", more: '"metrics":{"inputTokens":-1}' },
    { delta: "2^53", more: '"metrics":{"inputTokens":9007199254740992}' },
    { delta: "1e400", more: '"metrics":{"inputTokens":1e400}' },
    { delta: "a fraction", more: '"metrics":{"inputTokens":0.5}' },
    { delta: "a text", more: '"metrics":{"inputTokens":"1"}' },
    { delta: "true", more: '"metrics":{"inputTokens":true}' },
  ])("a delta of metrics: $delta", async ({ more }) => {
    const { status, errors } = await unchanged(heartbeat(more));
    const message = expect.stringContaining('at "heartbeats[0].metrics.inputTokens"');
    expect({ status, errors }).toMatchObject({
      status: 400,
      errors: [{ message, extensions: { code: "INVALID_INPUT" } }],
    });
  });

  test.each([
    ["nonsense", "nope"],
    ["one with a brace too many", "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b}"],
    ["one in braces", "{018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b}"],
    ["one without hyphens", "018f3c4e7b1a7cc39a550c1e2d3f4a5b"],
    ["one with a line after it", "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b\n"],
    ["an empty text", ""],
    ["a number", 7],
    ["an object", { a: 1 }],
  ])("a UUID that is %s", async (_what, jobId) => {
    const { status, errors } = await unchanged(
      operation("query($id: UUID!) { aiJob(jobId: $id) { id } }", { id: jobId }),
    );
    expect(status).toBe(400);
    expect(errors).toMatchObject([{ extensions: { code: "INVALID_INPUT" } }]);
  });
});

describe("a value that is out of its bounds is an answer, with the path to it", () => {
  const path = (...steps: string[]) => ["input", ...steps];
  test.each([
    { value: "U+0000 in a text", more: '"protocolId":"a\\u0000"', at: path("protocolId") },
    { value: "a lone surrogate in a text", more: '"profileId":"\\ud800"', at: path("profileId") },
    { value: "U+0000 in JSON", more: '"jobInputs":{"a":["\\u0000"]}', at: path("jobInputs", "a", "0") },
    { value: "a lone surrogate in JSON", more: '"jobInputs":["\\udc00"]', at: path("jobInputs", "0") },
    { value: "U+0000 in a key", more: '"jobInputs":{"a":{"\\u0000":1}}', at: path("jobInputs", "a") },
    { value: "a lone surrogate in a key", more: '"jobInputs":{"\\ud800":1}', at: path("jobInputs") },
    { value: "2^53 in JSON", more: '"jobInputs":{"n":[9007199254740992]}', at: path("jobInputs", "n", "0") },
    { value: "-2^53 in JSON", more: '"jobInputs":-9007199254740992', at: path("jobInputs") },
    { value: "1e400 in JSON", more: '"jobInputs":[1e400]', at: path("jobInputs", "0") },
    { value: "an empty text", more: '"protocolId":""', at: path("protocolId") },
    { value: "201 characters", more: `"protocolId":"${"x".repeat(201)}"`, at: path("protocolId") },
    { value: "an empty key", more: '"idempotencyKey":""', at: path("idempotencyKey") },
    { value: "no attempt", more: '"maxAttempts":0', at: path("maxAttempts") },
    { value: "101 attempts", more: '"maxAttempts":101', at: path("maxAttempts") },
    { value: "1,001 entities", more: `"entityRefs":${refs(1001)}`, at: path("entityRefs") },
    {
      value: "U+0000 in an entity",
      more: '"entityRefs":[{"entityKind":"doc","entityId":"\\u0000"}]',
      at: path("entityRefs", "0", "entityId"),
    },
  ])("$value", async ({ more, at }) => {
    const { status, data } = await unchanged(submit(more));
    expect(status).toBe(200);
    expect(data).toEqual({ submitAiJob: { __typename: "InvalidInputError", code: "INVALID_INPUT", path: at } });
  });

  test("JSON of 101 levels", async () => {
    const { data } = await unchanged(submit(`"jobInputs":${nested(101)}`));
    expect(data).toMatchObject({ submitAiJob: { code: "INVALID_INPUT", path: path("jobInputs", ...zeros(100)) } });
  });

  test.each([
    ["10,000 levels", nested(10_000), /nested deeper than 120 levels/],
    ["1,000,000 levels", nested(1_000_000), /nested deeper than 120 levels/],
    ["a million empty objects", `[${"{},".repeat(1_000_000)}{}]`, /more than 100000 values/],
    ["a million texts", `[${'"a",'.repeat(1_000_000)}"a"]`, /more than 100000 values/],
    [
      "300,000 keys",
      `{${Array.from({ length: 300_000 }, (_, key) => `"${key}":1`).join()}}`,
      /more than 100000 values/,
    ],
  ])("JSON of %s, before it is parsed", async (_what, json, says) => {
    const { status, data, errors } = await unchanged(submit(`"jobInputs":${json}`));
    expect([status, data]).toEqual([400, undefined]);
    expect(errors?.[0]).toMatchObject({ message: expect.stringMatching(says), extensions: { code: "INVALID_INPUT" } });
  });

  test.each([
    { step: "U+0000 in its name", more: '"nodeId":"\\u0000","outcome":"STARTED"', at: ["nodeId"] },
    {
      step: "an output while it starts",
      more: '"nodeId":"a","outcome":"STARTED","outputPayload":1',
      at: ["outputPayload"],
    },
    {
      step: "an input when it ends",
      more: '"nodeId":"a","outcome":"SUCCEEDED","inputPayload":1',
      at: ["inputPayload"],
    },
    {
      step: "an error when it succeeds",
      more: '"nodeId":"a","outcome":"SUCCEEDED","errorMessage":"x"',
      at: ["errorMessage"],
    },
    {
      step: "a payload over 256 KiB",
      more: `"nodeId":"a","outcome":"STARTED","inputPayload":"${"x".repeat(256 * 1024)}"`,
      at: ["inputPayload"],
    },
    { step: "an end before its start", more: '"nodeId":"a","outcome":"SUCCEEDED"', at: ["nodeId"] },
  ])("a step with $step", async ({ more, at }) => {
    const { data } = await unchanged(advance(more));
    expect(data).toEqual({
      advanceWorkflow: { __typename: "InvalidInputError", code: "INVALID_INPUT", path: path("step", ...at) },
    });
  });

  test("a lone surrogate in a snippet", async () => {
    const { data } = await unchanged(
      advance('"nodeId":"a","outcome":"STARTED"', '"retrievedSnippets":[{"sourceId":"s","content":"\\ud800"}]'),
    );
    expect(data).toMatchObject({ advanceWorkflow: { path: path("retrievedSnippets", "0", "content") } });
  });

  test("a counter that would pass 2^53 - 1, and a plan that would pass the total", async () => {
    const max = '"metrics":{"durationMs":9007199254740991}';
    const first = await post(server.url, heartbeat(max));
    expect(first.data).toMatchObject({ heartbeatWorkflows: { results: [{ error: null }] } });
    const run = db.prisma.aiJob.findUniqueOrThrow({ where: { jobId: claim.job.jobId } });
    const { version, durationMs } = await run;
    expect(durationMs).toBe(9007199254740991n);
    for (const [more, counter] of [
      ['"metrics":{"durationMs":1,"inputTokens":1}', "durationMs"],
      ['"metrics":{"inputTokens":9007199254740991,"outputTokens":1}', "totalTokens"],
      ['"metrics":{"inputTokens":2,"tokensPlanner":2,"tokensExecutor":1}', "tokensPlanner"],
    ] as const) {
      const { data } = await post(server.url, heartbeat(more));
      const error = { code: "INVALID_INPUT", path: path("heartbeats", "0", "metrics", counter) };
      expect(data).toMatchObject({ heartbeatWorkflows: { results: [{ directive: "CONTINUE", error }] } });
    }
    // The leases were renewed, and that is all: refused as a whole, the delta has made no version.
    expect(await db.prisma.aiJob.findUniqueOrThrow({ where: { jobId: claim.job.jobId } })).toMatchObject({
      version,
      durationMs,
      inputTokens: 0n,
    });
  });
});

describe("a batch", () => {
  const beats = (count: number, id = () => crypto.randomUUID().toString()) =>
    operation(HEARTBEATS, {
      heartbeats: Array.from({ length: count }, () => ({ workflowRunId: id(), leaseToken: "x" })),
    });

  test.each([
    { batch: "of nothing", body: beats(0), at: ["heartbeats"] },
    { batch: "of 101 runs", body: beats(101), at: ["heartbeats"] },
    {
      batch: "that names a run twice",
      body: beats(2, () => "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b"),
      at: ["heartbeats", "1", "workflowRunId"],
    },
  ])("$batch is refused", async ({ body, at }) => {
    const { data } = await unchanged(body);
    expect(data).toEqual({
      heartbeatWorkflows: { __typename: "InvalidInputError", code: "INVALID_INPUT", path: ["input", ...at] },
    });
  });

  test("that names a run twice, once in capitals, is refused", async () => {
    const ids = ["018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b", "018F3C4E-7B1A-7CC3-9A55-0C1E2D3F4A5B"];
    const { data } = await unchanged(beats(2, () => ids.shift() ?? ""));
    expect(data).toMatchObject({ heartbeatWorkflows: { path: ["input", "heartbeats", "1", "workflowRunId"] } });
  });

  test("of 100 unknown runs is answered one by one", async () => {
    const { data } = await unchanged(beats(100));
    const lost = { directive: "STOP_LEASE_LOST", error: { code: "LEASE_LOST" } };
    expect(data).toEqual({
      heartbeatWorkflows: { __typename: "HeartbeatWorkflowsPayload", results: Array.from({ length: 100 }, () => lost) },
    });
  });
});

describe("JSON is kept as it came", () => {
  test.each([
    ["__proto__ in a variable", '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":1}}}'],
    ["2^53 - 1 and its negative", "[9007199254740991,-9007199254740991,0.1,1e-7]"],
    ["100 levels", nested(100)],
    ["any character", '["\\u0001\\u007f\\ufffe\\ud83d\\ude00\\u202e","",{"":{"toString":null}}]'],
  ])("%s", async (_what, jobInputs) => {
    const { status, data } = await post(server.url, submit(`"jobInputs":${jobInputs}`));
    expect(status).toBe(200);
    expect(JSON.stringify(data)).toBe(
      `{"submitAiJob":{"__typename":"SubmitAiJobPayload","job":{"jobInputs":${JSON.stringify(JSON.parse(jobInputs))}}}}`,
    );
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  test("__proto__ in a literal", async () => {
    const document = `mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p",
      jobInputs: { __proto__: { polluted: true } } }) { ... on SubmitAiJobPayload { job { jobInputs } } } }`;
    const { data } = await post(server.url, operation(document));
    expect(JSON.stringify(data)).toBe('{"submitAiJob":{"job":{"jobInputs":{"__proto__":{"polluted":true}}}}}');
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  test.each([
    ["200 characters", `"protocolId":"${"x".repeat(200)}"`],
    ["200 characters of two units each", `"profileId":"${"😀".repeat(100)}"`],
    ["1,000 entities", `"entityRefs":${refs(1000)}`],
    ["100 attempts", '"maxAttempts":100'],
    ["the last moment", '"runAfter":"9999-12-31T23:59:59.999Z"'],
  ])("and a value at its bound is taken: %s", async (_what, more) => {
    const { data } = await post(server.url, submit(more));
    expect(data).toMatchObject({ submitAiJob: { __typename: "SubmitAiJobPayload" } });
  });
});

function refs(count: number): string {
  return JSON.stringify(Array.from({ length: count }, () => ({ entityKind: "doc", entityId: "1" })));
}

function nested(depth: number): string {
  return "[".repeat(depth) + "]".repeat(depth);
}

function zeros(count: number): string[] {
  return Array.from({ length: count }, () => "0");
}
