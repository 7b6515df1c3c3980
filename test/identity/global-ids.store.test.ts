import { randomUUID } from "node:crypto";
import { isInterfaceType } from "graphql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { schema } from "../../src/graphql/schema.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { type Caller, type GuardedServer, startGuardedServer } from "../support/guarded-server.ts";

/** What is loaded by a global id: by a principal of the whole deployment that names no workspace, and of what there is not. */

let db: TestDatabase;
let server: GuardedServer;
let admin: Caller;
beforeAll(async () => {
  db = await openTestDatabase();
  server = await startGuardedServer(db);
  admin = await server.keyOf({ roles: ["ADMIN"], workspaceId: null });
});
afterAll(async () => {
  await server.close();
  await db.close();
});

const globalId = (type: string, id: string) => Buffer.from(`${type}:${id}`).toString("base64");

async function loaded(id: string): Promise<unknown> {
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "content-type": "application/json", ...admin.headers },
    body: JSON.stringify({ query: "query ($id: ID!) { node(id: $id) { __typename } }", variables: { id } }),
  });
  return response.json();
}

test.each([
  ["Workspace", (): string => server.workspaceId],
  ["ApiKey", (): string => admin.apiKeyId],
  ["CapabilityProfile", (): string => "default"],
] as const)("%s is of no workspace, or of the deployment, and is there", async (type, id) => {
  expect(await loaded(globalId(type, id()))).toEqual({ data: { node: { __typename: type } } });
});

test.each(["AiJob", "WorkflowRun", "NodeExecution", "BulkAction", "Quota", "FlightRecorderEvent"])(
  "%s is of a workspace, and one must be named",
  async (type) => {
    const id = type === "FlightRecorderEvent" ? `${randomUUID()}:1` : randomUUID();
    expect(await loaded(globalId(type, id))).toMatchObject({
      errors: [{ message: expect.stringContaining("x-workspace-id"), extensions: { code: "INVALID_INPUT" } }],
    });
  },
);

const node = schema.getType("Node");
if (!isInterfaceType(node)) throw new Error("Node is an interface.");
const nodeTypes = schema.getPossibleTypes(node).map(({ name }) => name);

test.each(nodeTypes)("%s of an id that there is not is null", async (type) => {
  const ids = [randomUUID(), `${randomUUID()}:1`, "nonsense", "\u{fffd}"].map((id) => globalId(type, id));
  const response = await fetch(server.url, {
    method: "POST",
    headers: { "content-type": "application/json", ...admin.headers, "x-workspace-id": server.workspaceId },
    body: JSON.stringify({
      query: `query ($ids: [ID!]!) { nodes(ids: $ids) { __typename } ${ids.map((id, at) => `n${at}: node(id: "${id}") { __typename }`).join(" ")} }`,
      variables: { ids },
    }),
  });
  const none = Object.fromEntries(ids.map((_, at) => [`n${at}`, null]));
  expect(await response.json()).toEqual({ data: { nodes: ids.map(() => null), ...none } });
});
