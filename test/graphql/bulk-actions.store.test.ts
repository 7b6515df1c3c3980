import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { EngineContext } from "../../src/engine.ts";
import { poisonJob } from "../../src/security/poison.ts";
import { graphql } from "../generated/index.ts";
import { leftBehind, queuedJobs } from "../support/bulk.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, started, submitted, WORKSPACE } from "../support/engine.ts";
import { raising, withFault } from "../support/faults.ts";
import { bringTo, FOUND } from "../support/jobs.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

let db: TestDatabase;
let server: TestServer;
let engine: EngineContext;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startTestServer(db);
  engine = engineOn(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const CANCEL = graphql(`
  mutation AnswersCancelMany($input: CancelAiJobsInput!) {
    cancelAiJobs(input: $input) {
      __typename
      ... on Error {
        code
      }
      ... on InvalidInputError {
        path
      }
      ... on CancelAiJobsPayload {
        bulkAction {
          ...BulkActionAnswer
        }
      }
    }
  }
`);

const RETRY = graphql(`
  mutation AnswersRetryMany($input: RetryAiJobsInput!) {
    retryAiJobs(input: $input) {
      __typename
      ... on Error {
        code
      }
      ... on InvalidInputError {
        path
      }
      ... on RetryAiJobsPayload {
        bulkAction {
          ...BulkActionAnswer
        }
      }
    }
  }
`);

const NODE = graphql(`
  query AnswersBulkAction($id: ID!) {
    node(id: $id) {
      __typename
      ...BulkActionAnswer
    }
  }
`);

/** What the operations above ask of an action. */
graphql(`
  fragment BulkActionAnswer on BulkAction {
    id
    total
    succeeded
    failed
    finishedAt
    items(first: 10) {
      nodes {
        jobId
        finishedAt
        job {
          state
          version
        }
        error {
          __typename
          code
          message
          ... on IllegalTransitionError {
            from
            to
            directive
          }
          ... on JobPoisonedError {
            stop: directive
            job {
              jobId
              state
              statusReason
            }
          }
          ... on BudgetExceededError {
            freesAt
          }
        }
      }
    }
  }
`);

const at = expect.any(String);

test("cancelAiJobs answers the action with each job and what came of it, and the same by its id", async () => {
  const protocolId = "answer-cancel";
  const [queued, poisoned] = [await submitted(engine, { protocolId }), await submitted(engine, { protocolId })];
  const { job: running } = await started(engine, { protocolId });
  const { job: completed } = await started(engine, { protocolId });
  await bringTo(engine, completed.jobId, "COMPLETED");
  await poisonJob(engine, WORKSPACE, poisoned.jobId, FOUND);
  const states = ["QUEUED", "RUNNING", "POISONED", "COMPLETED"] as const;
  const { cancelAiJobs } = await server.run(CANCEL, {
    input: { filter: { protocolId, states: [...states] }, reason: "not needed" },
  });
  const message = expect.any(String);
  expect(cancelAiJobs).toEqual({
    __typename: "CancelAiJobsPayload",
    bulkAction: {
      id: expect.any(String),
      total: 4,
      succeeded: 2,
      failed: 2,
      finishedAt: at,
      items: {
        nodes: [
          { jobId: queued.jobId, finishedAt: at, job: { state: "CANCELLED", version: 2 }, error: null },
          {
            jobId: poisoned.jobId,
            finishedAt: at,
            job: { state: "POISONED", version: 2 },
            error: {
              __typename: "JobPoisonedError",
              code: "JOB_POISONED",
              message,
              stop: null,
              job: { jobId: poisoned.jobId, state: "POISONED", statusReason: "poisoned: export" },
            },
          },
          { jobId: running.jobId, finishedAt: at, job: { state: "CANCELLED", version: 3 }, error: null },
          {
            jobId: completed.jobId,
            finishedAt: at,
            job: { state: "COMPLETED", version: 3 },
            error: {
              __typename: "IllegalTransitionError",
              code: "ILLEGAL_TRANSITION",
              message: "A job that is COMPLETED cannot become CANCELLED. Nothing was changed.",
              from: "COMPLETED",
              to: "CANCELLED",
              directive: null,
            },
          },
        ],
      },
    },
  });
  const { bulkAction } = "bulkAction" in cancelAiJobs ? cancelAiJobs : { bulkAction: undefined };
  const id = idOf(bulkAction);
  expect((await server.run(NODE, { id })).node).toEqual({ __typename: "BulkAction", ...bulkAction });
  const failed = await server.run(ITEMS, { id, onlyFailed: true });
  expect(pageOf(failed)).toMatchObject({ jobIds: [poisoned.jobId, completed.jobId], pageInfo: { hasNextPage: false } });
  const elsewhere = await run(server.url, NODE, { id }, { "x-workspace-id": randomUUID() });
  expect(elsewhere.node).toBeNull();
});

function idOf(value: unknown): string {
  return z.object({ id: z.string() }).parse(value).id;
}

test("retryAiJobs answers the action with each job and what came of it", async () => {
  const protocolId = "answer-retry";
  const failed = await submitted(engine, { protocolId });
  await bringTo(engine, failed.jobId, "FAILED");
  const spent = await submitted(engine, { protocolId, tokenBudget: 10 });
  await bringTo(engine, spent.jobId, "FAILED", { inputTokens: 11n, totalTokens: 11n });
  const { retryAiJobs } = await server.run(RETRY, { input: { filter: { protocolId, states: ["FAILED"] } } });
  const message = expect.stringMatching(/^ACE-001: The job has used 11 tokens of a budget of 10/);
  expect(retryAiJobs).toMatchObject({
    __typename: "RetryAiJobsPayload",
    bulkAction: {
      total: 2,
      succeeded: 1,
      failed: 1,
      finishedAt: at,
      items: {
        nodes: [
          { jobId: failed.jobId, job: { state: "QUEUED" }, error: null },
          {
            jobId: spent.jobId,
            job: { state: "FAILED" },
            error: { __typename: "BudgetExceededError", code: "BUDGET_EXCEEDED", message, freesAt: null },
          },
        ],
      },
    },
  });
});

test("an unfinished action tells how far it has come", async () => {
  const protocolId = "answer-unfinished";
  const [jobId] = await queuedJobs(engine, 1, { protocolId });
  const id = await leftBehind(db.prisma, { filter: { protocolId } });
  const { node } = await server.run(NODE, { id: Buffer.from(`BulkAction:${id}`).toString("base64") });
  const item = { jobId, finishedAt: null, job: { state: "QUEUED", version: 1 }, error: null };
  expect(node).toMatchObject({ total: 1, succeeded: 0, failed: 0, finishedAt: null, items: { nodes: [item] } });
});

test.each([`BulkAction:${randomUUID()}`, "BulkAction:1"])("there is no action by the id %s", async (id) => {
  expect((await server.run(NODE, { id: Buffer.from(id).toString("base64") })).node).toBeNull();
});

describe("what is refused, with the path to it:", () => {
  const filter = { protocolId: "refused" };
  test.each([
    ["a filter that names nothing", { filter: {} }, ["input", "filter"]],
    ["a filter of nulls", { filter: { states: null, protocolId: null } }, ["input", "filter"]],
    ["an empty list", { filter: { kinds: [] } }, ["input", "filter"]],
    ["an empty protocol", { filter: { protocolId: "" } }, ["input", "filter", "protocolId"]],
    ["no job", { filter, limit: 0 }, ["input", "limit"]],
    ["fewer", { filter, limit: -1 }, ["input", "limit"]],
    ["more than 100,000 jobs", { filter, limit: 100_001 }, ["input", "limit"]],
  ])("%s", async (_, input, path) => {
    const refused = { __typename: "InvalidInputError", code: "INVALID_INPUT", path };
    expect((await server.run(RETRY, { input })).retryAiJobs).toEqual(refused);
    expect((await server.run(CANCEL, { input: { ...input, reason: "why" } })).cancelAiJobs).toEqual(refused);
  });

  test.each([
    ["no reason", ""],
    ["one that is too long", "r".repeat(2001)],
    ["one that is no text", "\0"],
  ])("a cancellation for %s", async (_, reason) => {
    const { cancelAiJobs } = await server.run(CANCEL, { input: { filter, reason } });
    expect(cancelAiJobs).toEqual({
      __typename: "InvalidInputError",
      code: "INVALID_INPUT",
      path: ["input", "reason"],
    });
  });
});

test("TRY_AGAIN is the answer where nothing of the action was kept", async () => {
  const before = await db.prisma.bulkAction.count();
  const point = { at: "when it is stored", on: "bulk_actions", when: "BEFORE ROW" } as const;
  const body = await raising(db, "40P01");
  const input = { filter: { protocolId: "try-again" } };
  await withFault(db, point, body, async () => {
    const answer = { __typename: "TryAgainError", code: "TRY_AGAIN" };
    expect((await server.run(RETRY, { input })).retryAiJobs).toEqual(answer);
    expect((await server.run(CANCEL, { input: { ...input, reason: "why" } })).cancelAiJobs).toEqual(answer);
  });
  expect(await db.prisma.bulkAction.count()).toBe(before);
});

describe("the cost of an action", () => {
  const answered = z.object({
    data: z.object({ node: z.object({ items: z.object({ nodes: z.array(z.unknown()) }) }) }),
  });

  async function post(query: string): Promise<unknown> {
    const response = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query }),
    });
    return JSON.parse(await response.text());
  }

  test("is as many statements for 20 jobs as for one", async () => {
    const cost = async (count: number) => {
      const protocolId = `cost-of-${count}`;
      for (const jobId of await queuedJobs(engine, count, { protocolId }))
        await poisonJob(engine, WORKSPACE, jobId, FOUND);
      const { retryAiJobs } = await server.run(RETRY, { input: { filter: { protocolId, states: ["POISONED"] } } });
      const id = idOf("bulkAction" in retryAiJobs ? retryAiJobs.bulkAction : undefined);
      const items = "items { nodes { job { state } error { code ... on JobPoisonedError { job { jobInputs } } } } }";
      db.statements();
      const answer = await post(`{ node(id: "${id}") { ... on BulkAction { total succeeded failed ${items} } } }`);
      const statements = db.statements().length;
      expect(answered.parse(answer).data.node.items.nodes).toHaveLength(count);
      return statements;
    };
    // The action, its items, their jobs, and those of the errors.
    expect([await cost(1), await cost(20)]).toEqual([4, 4]);
  });

  const page = (first: number, selection: string) => `items(first: ${first}) { nodes { ${selection} } }`;
  const deep = "jobId job { state events(first: 100) { nodes { eventId type version } } }";
  const short = "jobId job { state } error { code message }";
  test.each([
    ["10 of 100,000, with much of each", page(10, deep), "answered"],
    ["100, with what came of each", page(100, short), "answered"],
    ["100, with much of each", page(100, deep), "refused"],
  ])("is counted by the page of its items: %s", async (_, selection, outcome) => {
    const answer = await post(`mutation { retryAiJobs(input: { filter: { protocolId: "none" }, limit: 100000 }) {
      ... on RetryAiJobsPayload { bulkAction { ${selection} } } } }`);
    expect(JSON.stringify(answer)).toContain(outcome === "refused" ? "asks for too much" : '"items":{"nodes":[]}');
  });
});

test("the items of an action are read page by page, from either end", async () => {
  const protocolId = "answer-pages";
  const jobIds = await queuedJobs(engine, 5, { protocolId });
  await server.run(CANCEL, { input: { filter: { protocolId }, reason: "not needed" } });
  const { id: action } = await db.prisma.bulkAction.findFirstOrThrow({ orderBy: { id: "desc" } });
  const id = Buffer.from(`BulkAction:${action}`).toString("base64");
  const [first, last] = await Promise.all([server.run(ITEMS, { id, first: 2 }), server.run(ITEMS, { id, last: 2 })]);
  expect(pageOf(first)).toMatchObject({ jobIds: jobIds.slice(0, 2), pageInfo: { hasNextPage: true } });
  expect(pageOf(last)).toMatchObject({ jobIds: jobIds.slice(3), pageInfo: { hasPreviousPage: true } });
  const rest = await server.run(ITEMS, { id, first: 10, after: pageOf(first).pageInfo.endCursor });
  expect(pageOf(rest)).toMatchObject({ jobIds: jobIds.slice(2), pageInfo: { hasNextPage: false } });
});

const ITEMS = graphql(`
  query AnswersItems($id: ID!, $first: Int, $after: String, $last: Int, $onlyFailed: Boolean! = false) {
    node(id: $id) {
      ... on BulkAction {
        items(first: $first, after: $after, last: $last, onlyFailed: $onlyFailed) {
          nodes {
            jobId
          }
          pageInfo {
            hasNextPage
            hasPreviousPage
            endCursor
          }
        }
      }
    }
  }
`);

const pageInfo = z.object({ hasNextPage: z.boolean(), hasPreviousPage: z.boolean(), endCursor: z.string() });
const itemsAnswer = z.object({
  node: z.object({ items: z.object({ nodes: z.array(z.object({ jobId: z.string() })), pageInfo }) }),
});

function pageOf(answer: unknown) {
  const { items } = itemsAnswer.parse(answer).node;
  return { jobIds: items.nodes.map(({ jobId }) => jobId), pageInfo: items.pageInfo };
}
