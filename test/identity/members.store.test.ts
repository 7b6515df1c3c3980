import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { EngineContext } from "../../src/engine.ts";
import { createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey, revokeApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS } from "../../src/identity/principal.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { engineOn, ok, WORKSPACE } from "../support/engine.ts";
import { raising } from "../support/faults.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { type Answer, ask, expectMember, membersOf } from "../support/unions.ts";

/** What those who manage workspaces and keys can be answered: each member of their unions is one that is given. */

let db: TestDatabase;
let engine: EngineContext;
let server: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  engine = engineOn(db);
  server = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await db.close();
});

/** Does `work` while nothing can be stored in a table. */
async function whileBusy<T>(table: "workspaces" | "api_keys", work: () => Promise<T>): Promise<T> {
  await db.prisma.$executeRawUnsafe(
    `CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${await raising(db, "40001")}; END $$`,
  );
  await db.prisma.$executeRawUnsafe(
    `CREATE TRIGGER busy BEFORE INSERT OR UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION busy()`,
  );
  try {
    return await work();
  } finally {
    await db.prisma.$executeRawUnsafe("DROP FUNCTION busy CASCADE");
  }
}

const createWorkspace = (more: object = {}) => ask(server.url, "createWorkspace", { name: "one", ...more });
const updateWorkspace = (more: object = {}) => ask(server.url, "updateWorkspace", { workspaceId: WORKSPACE, ...more });
const create = (more: object = {}) => ask(server.url, "createApiKey", { name: "a key", roles: ["VIEWER"], ...more });
const rotate = (apiKeyId: string) => ask(server.url, "rotateApiKey", { apiKeyId });
const revoke = (apiKeyId: string) => ask(server.url, "revokeApiKey", { apiKeyId });

async function aKey(): Promise<string> {
  const key = { name: "a key", roles: ["ADMIN" as const], jobKinds: null, expiresAt: null, workspaceId: WORKSPACE };
  return ok(await createApiKey(engine, ANONYMOUS, key)).apiKey.apiKeyId;
}

/** Sends a mutation as somebody who may manage keys, of kind DOC_EDIT alone. */
async function asSomebodyElse(field: "createApiKey" | "rotateApiKey", input: object) {
  const authenticator = createAuthenticator({ prisma: db.prisma, operatorKey: undefined, onError: () => undefined });
  const guarded = await startTestServer(db, {}, { authenticator });
  try {
    const kinds = { jobKinds: ["DOC_EDIT" as const], expiresAt: null, workspaceId: WORKSPACE };
    const { secret } = ok(await createApiKey(engine, ANONYMOUS, { name: "admin", roles: ["ADMIN"], ...kinds }));
    const query = `mutation ($input: ${field === "createApiKey" ? "CreateApiKeyInput" : "RotateApiKeyInput"}!) { ${field}(input: $input) { __typename ... on Error { code message } } }`;
    const headers = { "content-type": "application/json", authorization: `Bearer ${secret}` };
    const response = await fetch(guarded.url, {
      method: "POST",
      headers,
      body: JSON.stringify({ query, variables: { input } }),
    });
    const answer = z
      .object({ data: z.record(z.string(), z.looseObject({ __typename: z.string() })) })
      .parse(await response.json());
    const member = answer.data[field];
    if (!member) throw new Error("There is an answer.");
    return member;
  } finally {
    await guarded.close();
    authenticator.close();
  }
}

const unions: readonly { union: string; answers: readonly Answer[] }[] = [
  {
    union: "CreateWorkspaceResult",
    answers: [
      { member: "CreateWorkspacePayload", produce: () => createWorkspace() },
      { member: "InvalidInputError", says: { path: ["input", "name"] }, produce: () => createWorkspace({ name: "" }) },
      { member: "TryAgainError", produce: () => whileBusy("workspaces", () => createWorkspace()) },
    ],
  },
  {
    union: "UpdateWorkspaceResult",
    answers: [
      {
        member: "UpdateWorkspacePayload",
        produce: () => updateWorkspace({ name: "first" }),
      },
      { member: "NotFoundError", produce: () => updateWorkspace({ workspaceId: randomUUID(), name: "x" }) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "retentionDays"] },
        produce: () => updateWorkspace({ retentionDays: 0 }),
      },
      { member: "TryAgainError", produce: () => whileBusy("workspaces", () => updateWorkspace({ name: "x" })) },
    ],
  },
  {
    union: "CreateApiKeyResult",
    answers: [
      { member: "CreateApiKeyPayload", produce: () => create() },
      {
        member: "NotFoundError",
        produce: () =>
          ask(server.url, "createApiKey", { name: "k", roles: ["VIEWER"] }, { "x-workspace-id": randomUUID() }),
      },
      { member: "InvalidInputError", says: { path: ["input", "roles"] }, produce: () => create({ roles: [] }) },
      { member: "ForbiddenError", produce: () => asSomebodyElse("createApiKey", { name: "k", roles: ["VIEWER"] }) },
      { member: "TryAgainError", produce: () => whileBusy("api_keys", () => create()) },
    ],
  },
  {
    union: "RotateApiKeyResult",
    answers: [
      { member: "RotateApiKeyPayload", produce: async () => rotate(await aKey()) },
      { member: "NotFoundError", produce: () => rotate(randomUUID()) },
      {
        member: "InvalidInputError",
        says: { path: ["input", "apiKeyId"] },
        produce: async () => {
          const apiKeyId = await aKey();
          ok(await revokeApiKey(engine, ANONYMOUS, { apiKeyId, includeDescendants: false }));
          return rotate(apiKeyId);
        },
      },
      { member: "ForbiddenError", produce: async () => asSomebodyElse("rotateApiKey", { apiKeyId: await aKey() }) },
      {
        member: "TryAgainError",
        produce: async () => {
          const apiKeyId = await aKey();
          return whileBusy("api_keys", () => rotate(apiKeyId));
        },
      },
    ],
  },
  {
    union: "RevokeApiKeyResult",
    answers: [
      { member: "RevokeApiKeyPayload", produce: async () => revoke(await aKey()) },
      { member: "NotFoundError", produce: () => revoke(randomUUID()) },
      {
        member: "TryAgainError",
        produce: async () => {
          const apiKeyId = await aKey();
          return whileBusy("api_keys", () => revoke(apiKeyId));
        },
      },
    ],
  },
];

describe.each(unions)("$union", ({ union, answers }) => {
  test.each(answers)("holds $member", async ({ member, produce, says = {} }) => {
    expectMember(await produce(), member, says);
  });

  test("holds nothing that no test produces", () => {
    expect(answers.map(({ member }) => member).toSorted()).toEqual(membersOf(union).toSorted());
  });
});

test("the workspaces of a list of keys are read by one statement", async () => {
  for (let count = 0; count < 3; count++) await aKey();
  db.statements();
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "{ apiKeys(first: 10) { nodes { workspace { workspaceId } } } }" }),
  });
  expect(await response.text()).toContain(WORKSPACE);
  expect(db.statements().filter((sql) => /FROM\s+\S*"workspaces"/.test(sql))).toHaveLength(1);
});
