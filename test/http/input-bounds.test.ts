import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { operation, post } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Inputs that are refused before their items are read one by one, and before the whole is written out for every fault of it. */

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

const ID = "018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b";
const SUBMIT =
  "mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { __typename ... on InvalidInputError { path } } }";
const ADVANCE =
  "mutation ($input: AdvanceWorkflowInput!) { advanceWorkflow(input: $input) { __typename ... on InvalidInputError { path } } }";
const batch = (field: string, type: string, items: string) =>
  `mutation ($items: [${type}!]!) { ${field}(input: { ${items}: $items }) { __typename ... on InvalidInputError { path } } }`;
const submit = (more: object) => ({ input: { jobKind: "DOC_EDIT", protocolId: "p", ...more } });
const report = { workflowRunId: ID, leaseToken: "x" };
const step = { nodeId: "n", nodeType: "t", outcome: "STARTED" };

type Case = readonly [
  what: string,
  document: string,
  variablesOf: (items: readonly unknown[]) => object,
  item: unknown,
];
const LISTS: readonly Case[] = [
  ["states", "query ($s: [JobState!]) { aiJobs(filter: { states: $s }) { totalCount } }", (s) => ({ s }), "QUEUED"],
  ["kinds", "query ($k: [JobKind!]) { aiJobs(filter: { kinds: $k }) { totalCount } }", (k) => ({ k }), "DOC_EDIT"],
  ["ids of nodes", "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", (ids) => ({ ids }), "x"],
  ["entityRefs", SUBMIT, (entityRefs) => submit({ entityRefs }), { entityKind: "d", entityId: "i" }],
  [
    "plannedOperations",
    SUBMIT,
    (plannedOperations) => submit({ plannedOperations }),
    { opType: "READ", target: { entityKind: "d", entityId: "i" } },
  ],
  ["dependsOn", ADVANCE, (dependsOn) => ({ input: { ...report, step: { ...step, dependsOn } } }), "n"],
  [
    "snippets",
    ADVANCE,
    (retrievedSnippets) => ({ input: { ...report, step, retrievedSnippets } }),
    { sourceId: "s", content: "c" },
  ],
  ["heartbeats", batch("heartbeatWorkflows", "WorkflowHeartbeatInput", "heartbeats"), (items) => ({ items }), report],
  ["completions", batch("completeWorkflows", "WorkflowCompletionInput", "completions"), (items) => ({ items }), report],
  [
    "failures",
    batch("failWorkflows", "WorkflowFailureInput", "failures"),
    (items) => ({ items }),
    { ...report, errorMessage: "e", retryable: true },
  ],
  [
    "issues of a completion",
    batch("completeWorkflows", "WorkflowCompletionInput", "completions"),
    (issues) => ({ items: [{ ...report, issues }] }),
    "i",
  ],
  [
    "writtenEntities of a completion",
    batch("completeWorkflows", "WorkflowCompletionInput", "completions"),
    (writtenEntities) => ({ items: [{ ...report, writtenEntities }] }),
    { entityKind: "d", entityId: "i" },
  ],
];

describe("a list of more items than any may have is refused before they are read:", () => {
  test.each(LISTS)("%s", async (_what, document, variablesOf, item) => {
    const ask = (count: number, of: unknown) =>
      post(server.url, operation(document, variablesOf(Array(count).fill(of))));
    // The same whether the items are right or not: none was looked at.
    for (const items of [item, 7]) {
      const answer = await ask(2_001, items);
      expect(answer).toMatchObject({
        status: 400,
        errors: [
          {
            message: expect.stringMatching(
              /^Variable "\$\w+" has 2001 items at "[\w.[\]]+", of which at most 2000 are read/,
            ),
            extensions: { code: "INVALID_INPUT" },
          },
        ],
      });
    }
    expect((await ask(2_000, item)).status).toBe(200);
  });
});

test("a list inside of JSON is the document's own, and has that one's limit", async () => {
  const answer = await post(server.url, operation(SUBMIT, submit({ jobInputs: Array(50_000).fill(1) })));
  expect(answer).toEqual({ status: 200, data: { submitAiJob: { __typename: "SubmitAiJobPayload" } } });
});

describe("an input is not written out for each of its faults:", () => {
  const long = "x".repeat(1_000_000);
  const unknown = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`unknown${index}`, 1]));
  test.each([
    [
      "unknown fields beside a long text",
      SUBMIT,
      submit({ jobInputs: long, ...unknown }),
      /Field "unknown0" is not defined.*Its fields are accessMode,/,
    ],
    [
      "fields that lack, beside a long text",
      SUBMIT,
      { input: { jobInputs: long } },
      /Field "jobKind" of required type "JobKind!" was not provided/,
    ],
    [
      "a long word for an enum",
      SUBMIT,
      submit({ accessMode: long }),
      /^Variable "\$input" got invalid value "x+ … at "input.accessMode"; .*"AccessMode" enum/,
    ],
    ["a long word for a UUID", SUBMIT, submit({ parentJobId: long }), /at "input.parentJobId"; This is not a UUID/],
  ])("%s", async (_what, document, variables, says) => {
    const { status, errors } = await post(server.url, operation(document, variables));
    expect({ status, errors }).toMatchObject({
      status: 400,
      errors: [{ message: expect.stringMatching(says), extensions: { code: "INVALID_INPUT" } }],
    });
  });
});

test("a subscription that would keep a large request is refused, over server-sent events", async () => {
  const body = JSON.stringify({
    query: "subscription { aiJobsChanged { version } }",
    extensions: { text: "x".repeat(70_000) },
  });
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const response = await fetch(server.url, { method: "POST", headers, body });
  expect(await response.text()).toMatch(/The request of a subscription has at most 65536 characters/);
});
