import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";
import { everything, post } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { ask, type Member } from "../support/unions.ts";

/** On a server with auth a workspace exists only after it was made; without, what is stored first makes it (section 11). */

let db: TestDatabase;
let server: GuardedServer;
let open: TestServer;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startGuardedServer(db);
  open = await startTestServer(db);
});
afterAll(async () => {
  await server.close();
  await open.close();
  await db.close();
});

/** What stores something in a workspace, by the name of the mutation. */
const STORES: readonly [string, object][] = [
  ["submitAiJob", { jobKind: "DOC_EDIT", protocolId: "p" }],
  ["submitAiJob", { jobKind: "TERMINAL_EXEC", protocolId: "p", capabilityProfileId: "default" }],
  ["setQuota", { resource: "JOBS", max: 100, windowSeconds: 60 }],
  ["setUsageLabels", { keys: ["team"] }],
  ["cancelAiJobs", { filter: { protocolId: "p" }, reason: "no" }],
  ["retryAiJobs", { filter: { protocolId: "p" } }],
];

const send = (
  [mutation, input]: readonly [string, object],
  url: string,
  headers: Record<string, string>,
): Promise<Member> => ask(url, mutation, input, headers);
const countOf = (workspaceId: string) => db.prisma.workspace.count({ where: { workspaceId } });

describe("with auth", () => {
  test.each(STORES)("%s finds no workspace that was not made, and makes none", async (...store) => {
    const unknown = randomUUID();
    const before = await everything(db.prisma);
    const answer = await send(store, server.url, { ...server.operator, "x-workspace-id": unknown });
    expect(answer).toMatchObject({ __typename: "NotFoundError", message: "There is no such workspace." });
    expect(await countOf(unknown)).toBe(0);
    expect(await everything(db.prisma)).toEqual(before);
    const made = await ask(server.url, "createWorkspace", { name: "now", workspaceId: unknown }, server.operator);
    expect(made).toMatchObject({ __typename: "CreateWorkspacePayload" });
    const later = await send(store, server.url, { ...server.operator, "x-workspace-id": unknown });
    expect(later.__typename).not.toBe("NotFoundError");
  });

  test("reads of a workspace that was not made find nothing", async () => {
    const query = "{ aiJobs { totalCount } quotas { max } flightRecorderEvents { nodes { version } } }";
    const headers = { ...server.operator, "x-workspace-id": randomUUID() };
    expect((await post(server.url, JSON.stringify({ query }), headers)).data).toEqual({
      aiJobs: { totalCount: 0 },
      quotas: [],
      flightRecorderEvents: { nodes: [] },
    });
  });

  test("whoever is of the whole deployment and names none is told the header", async () => {
    for (const store of STORES)
      expect(await send(store, server.url, server.operator)).toMatchObject({
        __typename: "InvalidInputError",
        message: expect.stringContaining("x-workspace-id"),
      });
  });

  test("a submit asks the database as often as without", async () => {
    const workspaceId = randomUUID();
    const named = { "x-workspace-id": workspaceId };
    await ask(server.url, "createWorkspace", { name: "counted", workspaceId }, server.operator);
    for (const [url, headers] of [
      [server.url, { ...server.operator, ...named }],
      [open.url, named],
    ] as const) {
      db.statements();
      await send(["submitAiJob", { jobKind: "DOC_EDIT", protocolId: "p" }], url, headers);
      // Without those of the feed and of the authenticator, which come at any time.
      const ofSubmit = db.statements().filter((sql) => /capability_profiles|INTO ai_jobs|workspaces/.test(sql));
      expect(ofSubmit).toEqual([
        expect.stringContaining("FROM capability_profiles"),
        expect.stringContaining("INTO ai_jobs"),
      ]);
    }
  });
});

test.each(STORES)("without auth, %s makes its workspace", async (...store) => {
  const workspaceId = randomUUID();
  expect((await send(store, open.url, { "x-workspace-id": workspaceId })).__typename).not.toBe("NotFoundError");
  expect(await countOf(workspaceId)).toBe(1);
});
