import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MAX_QUOTAS } from "../../src/quotas/quota.ts";
import { graphql } from "../generated/gql.ts";
import type { QuotaResource, SetQuotaInput } from "../generated/graphql.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn } from "../support/engine.ts";
import { aWorkspace, usedAgo } from "../support/quotas.ts";
import { run, startTestServer, type TestServer } from "../support/server.ts";

/** Quotas as a client manages them, over HTTP. */

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

const SET = graphql(`
  mutation QuotasSet($input: SetQuotaInput!) {
    setQuota(input: $input) {
      __typename
      ... on SetQuotaPayload {
        quota { quotaId capabilityProfileId resource max windowSeconds used freesAt createdAt updatedAt }
      }
      ... on InvalidInputError { path message }
      ... on Error { code }
    }
  }
`);
const LIST = graphql(`
  query QuotasList { quotas { quotaId capabilityProfileId resource max windowSeconds used freesAt } }
`);
const DELETE = graphql(`
  mutation QuotasDelete($quotaId: UUID!) {
    deleteQuota(input: { quotaId: $quotaId }) {
      __typename
      ... on DeleteQuotaPayload { quotaId }
      ... on Error { code message }
    }
  }
`);

/** A client of a workspace of its own. */
function aClient(workspaceId: string = randomUUID()) {
  const header = { "x-workspace-id": workspaceId };
  const set = async (input: SetQuotaInput) => (await run(server.url, SET, { input }, header)).setQuota;
  return {
    workspace: aWorkspace(engineOn(db), workspaceId),
    set,
    made: async (input: SetQuotaInput) => {
      const answer = await set(input);
      if (answer.__typename !== "SetQuotaPayload") throw new Error(`It was refused: ${JSON.stringify(answer)}`);
      return answer.quota;
    },
    list: async () => (await run(server.url, LIST, {}, header)).quotas,
    remove: async (quotaId: string) => (await run(server.url, DELETE, { quotaId }, header)).deleteQuota,
  };
}

const TOKENS = { resource: "TOKENS", max: 100, windowSeconds: 3600 } as const;

describe("a quota that is set", () => {
  test("is listed with what is used of it and when it frees, oldest first, in its workspace alone", async () => {
    const client = aClient();
    const minute = await usedAgo(db.prisma, client.workspace, 5, { tokens: 70, jobs: 2 });
    const tokens = await client.made(TOKENS);
    const jobs = await client.made({ resource: "JOBS", max: 2, windowSeconds: 60 * 60 * 24 });
    const active = await client.made({ resource: "ACTIVE_JOBS", max: 0, capabilityProfileId: "terminal" });
    const freesAt = new Date(minute.getTime() + 60_000 + 24 * 3_600_000).toISOString();
    expect(await client.list()).toEqual([
      { quotaId: tokens.quotaId, capabilityProfileId: null, ...TOKENS, used: 70, freesAt: null },
      {
        quotaId: jobs.quotaId,
        capabilityProfileId: null,
        resource: "JOBS",
        max: 2,
        windowSeconds: 86_400,
        used: 2,
        freesAt,
      },
      {
        quotaId: active.quotaId,
        capabilityProfileId: "terminal",
        resource: "ACTIVE_JOBS",
        max: 0,
        windowSeconds: null,
        used: 0,
        freesAt: null,
      },
    ]);
    expect(await aClient().list()).toEqual([]);
  });

  test("again is the same quota with another `max`; with another profile, resource or window, another quota", async () => {
    const client = aClient();
    const first = await client.made(TOKENS);
    const changed = await client.made({ ...TOKENS, max: 7 });
    expect(changed).toMatchObject({ quotaId: first.quotaId, max: 7, createdAt: first.createdAt });
    expect(Date.parse(changed.updatedAt)).toBeGreaterThanOrEqual(Date.parse(first.updatedAt));
    const active = await client.made({ resource: "ACTIVE_JOBS", max: 1 });
    expect((await client.made({ resource: "ACTIVE_JOBS", max: 2 })).quotaId).toBe(active.quotaId);
    const others = [
      await client.made({ ...TOKENS, windowSeconds: 3601 }),
      await client.made({ ...TOKENS, resource: "JOBS" }),
      await client.made({ ...TOKENS, capabilityProfileId: "default" }),
      await client.made({ ...TOKENS, capabilityProfileId: "terminal" }),
    ];
    const ids = [first, active, ...others].map(({ quotaId }) => quotaId);
    expect(new Set(ids).size).toBe(6);
    expect((await client.list()).map(({ quotaId }) => quotaId)).toEqual(ids);
  });

  test("by ten at once is one", async () => {
    const client = aClient();
    await Promise.all(Array.from({ length: 10 }, (_, max) => client.made({ ...TOKENS, max })));
    expect(await client.list()).toHaveLength(1);
  });

  test("counts what was used before it, however much that is", async () => {
    const client = aClient();
    await usedAgo(db.prisma, client.workspace, 1, { tokens: 2 ** 53 - 1 });
    await usedAgo(db.prisma, client.workspace, 2, { tokens: 2 ** 53 - 1 });
    expect(await client.made({ ...TOKENS, max: 2 ** 53 - 1 })).toMatchObject({
      max: 2 ** 53 - 1,
      used: 2 ** 53 - 1,
      freesAt: expect.any(String),
    });
  });
});

const WINDOW = ["input", "windowSeconds"];

describe("a quota is refused, and nothing is kept,", () => {
  test.each<[string, QuotaResource, number | null | undefined]>([
    ["of tokens without a window", "TOKENS", undefined],
    ["of jobs without a window", "JOBS", null],
    ["of active jobs with one", "ACTIVE_JOBS", 3600],
    ["with a window of less than a minute", "TOKENS", 59],
    ["with a window of more than 31 days", "JOBS", 2_678_401],
  ])("%s", async (_, resource, windowSeconds) => {
    const client = aClient();
    const input = { resource, max: 1, ...(windowSeconds === undefined ? {} : { windowSeconds }) };
    expect(await client.set(input)).toMatchObject({ code: "INVALID_INPUT", path: WINDOW });
    expect(await client.list()).toEqual([]);
  });

  test("of a capability profile that there is not; the workspace is not made by it either", async () => {
    const client = aClient();
    const answer = await client.set({ ...TOKENS, capabilityProfileId: "omnipotent" });
    expect(answer).toMatchObject({ __typename: "UnknownCapabilityError", code: "UNKNOWN_CAPABILITY" });
    const { workspaceId } = client.workspace;
    expect(await db.prisma.workspace.count({ where: { workspaceId } })).toBe(0);
  });

  test(`where the workspace has ${MAX_QUOTAS} already, which may still be changed`, async () => {
    const client = aClient();
    await client.made(TOKENS);
    await db.prisma.$executeRaw`
      INSERT INTO quotas (id, workspace_id, resource, max, window_seconds)
      SELECT gen_random_uuid(), ${client.workspace.workspaceId}::uuid, 'jobs', 1, 60 + n
      FROM generate_series(1, ${MAX_QUOTAS - 1}) AS n`;
    expect(await client.set({ ...TOKENS, resource: "JOBS", windowSeconds: 60 })).toMatchObject({
      code: "INVALID_INPUT",
      path: ["input"],
    });
    expect(await client.made({ ...TOKENS, max: 1 })).toMatchObject({ max: 1 });
    expect(await client.list()).toHaveLength(MAX_QUOTAS);
  });
});

test("the shortest window and the longest one are fine", async () => {
  const client = aClient();
  await client.made({ ...TOKENS, windowSeconds: 60 });
  await client.made({ ...TOKENS, windowSeconds: 2_678_400 });
  expect((await client.list()).map(({ windowSeconds }) => windowSeconds)).toEqual([60, 2_678_400]);
});

describe("a quota that is deleted", () => {
  test("is gone, and is not found again", async () => {
    const client = aClient();
    const { quotaId } = await client.made(TOKENS);
    expect(await client.remove(quotaId)).toEqual({ __typename: "DeleteQuotaPayload", quotaId });
    expect(await client.list()).toEqual([]);
    expect(await client.remove(quotaId)).toMatchObject({ __typename: "NotFoundError", code: "NOT_FOUND" });
  });

  test("is one's own: nobody else's workspace has it", async () => {
    const client = aClient();
    const { quotaId } = await client.made(TOKENS);
    expect(await aClient().remove(quotaId)).toMatchObject({ __typename: "NotFoundError" });
    expect(await client.list()).toHaveLength(1);
  });
});

test("the list costs as many statements for 30 quotas as for one", async () => {
  const client = aClient();
  await client.made(TOKENS);
  const cost = async () => {
    db.statements();
    await client.list();
    return db.statements().length;
  };
  const one = await cost();
  for (let n = 0; n < 29; n++) await client.made({ ...TOKENS, windowSeconds: 60 + n });
  expect(await client.list()).toHaveLength(30);
  expect(await cost()).toBe(one);
  expect(one).toBe(1);
});

const SUBMIT = graphql(`
  mutation QuotasSubmit {
    submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) {
      __typename
      ... on SubmitAiJobPayload { job { jobId } }
      ... on BudgetExceededError { code message freesAt directive }
    }
  }
`);
const START = graphql(`
  mutation QuotasStart($jobId: UUID!) {
    startWorkflow(input: { jobId: $jobId, workerId: "w" }) {
      __typename
      ... on BudgetExceededError { code message freesAt directive }
    }
  }
`);

test("a submit and a start that quotas refuse answer BudgetExceededError, and until when", async () => {
  const client = aClient();
  const header = { "x-workspace-id": client.workspace.workspaceId };
  const { jobId } = await client.workspace.submitted();
  const minute = await usedAgo(db.prisma, client.workspace, 5, { tokens: 100 });
  await client.made(TOKENS);
  const freesAt = new Date(minute.getTime() + 60_000 + 3_600_000).toISOString();
  const message =
    "ACE-001: the workspace's quota of 100 tokens in 3600 s is used up. " +
    `There is room again at ${freesAt}. Nothing was changed.`;
  const refused = { __typename: "BudgetExceededError", code: "BUDGET_EXCEEDED", message, freesAt, directive: null };
  expect(await run(server.url, SUBMIT, {}, header)).toEqual({ submitAiJob: refused });
  expect(await run(server.url, START, { jobId }, header)).toEqual({ startWorkflow: refused });
});

const SET_NODE = graphql(`
  mutation QuotaNodeSet($input: SetQuotaInput!) {
    setQuota(input: $input) { ... on SetQuotaPayload { quota { id quotaId } } }
  }
`);
const NODES = graphql(`
  query QuotaNodes($ids: [ID!]!) { nodes(ids: $ids) { id ... on Quota { max } } }
`);
const DELETE_NODE = graphql(`
  mutation QuotaNodeDelete($quotaId: UUID!) {
    deleteQuota(input: { quotaId: $quotaId }) { ... on DeleteQuotaPayload { deletedQuotaId quotaId } }
  }
`);

test("a quota has a global id, by which it is loaded again, and its deletion tells the same id", async () => {
  const input = { resource: "JOBS", max: 7, windowSeconds: 61 } as const;
  const { setQuota } = await run(server.url, SET_NODE, { input });
  if (!("quota" in setQuota)) throw new Error("It was refused.");
  const { id, quotaId } = setQuota.quota;
  const missing = Buffer.from(`Quota:${randomUUID()}`).toString("base64");
  expect(await run(server.url, NODES, { ids: [id, missing, id] })).toEqual({
    nodes: [{ id, max: 7 }, null, { id, max: 7 }],
  });
  const elsewhere = { "x-workspace-id": randomUUID() };
  expect(await run(server.url, NODES, { ids: [id] }, elsewhere)).toEqual({ nodes: [null] });
  expect(await run(server.url, DELETE_NODE, { quotaId })).toEqual({ deleteQuota: { deletedQuotaId: id, quotaId } });
  expect(await run(server.url, NODES, { ids: [id] })).toEqual({ nodes: [null] });
});
