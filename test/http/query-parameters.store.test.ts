import { createClient as createSseClient } from "graphql-sse";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS } from "../../src/identity/principal.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { submitAiJob } from "../../src/jobs/submit.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { aSubmit, engineOn, ok, SOMEBODY } from "../support/engine.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What may stand behind the question mark: the operation, the stream's token, and the workspace of a page's EventSource. */

let db: TestDatabase;
let authenticator: Authenticator;
let server: TestServer;
let withAuth: TestServer;
const workspaces: string[] = [];
const jobs: string[] = [];
let ofDeployment: string;
let ofFirst: string;
beforeAll(async () => {
  db = await openTestDatabase();
  const engine = engineOn(db);
  authenticator = createAuthenticator({ prisma: db.prisma, operatorKey: undefined, onError: () => undefined });
  server = await startTestServer(db);
  withAuth = await startTestServer(db, {}, { authenticator });
  for (const name of ["one", "two"]) {
    const { workspaceId } = ok(await createWorkspace(engine, { name, workspaceId: null }));
    workspaces.push(workspaceId);
    jobs.push(ok(await submitAiJob(engine, workspaceId, SOMEBODY, aSubmit())).job.jobId);
  }
  const key = { name: "k", roles: ["VIEWER" as const], jobKinds: null, expiresAt: null };
  const secretOf = async (workspaceId: string | null) =>
    `Bearer ${ok(await createApiKey(engine, { ...ANONYMOUS, name: "operator" }, { ...key, workspaceId })).secret}`;
  ofDeployment = await secretOf(null);
  ofFirst = await secretOf(workspaces[0] ?? null);
});
afterAll(async () => {
  await server.close();
  await withAuth.close();
  authenticator.close();
  await db.close();
});

type Parameters = Readonly<Record<string, string>> | string;
const EVENTS = { accept: "text/event-stream" };
const JSON_BODY = { "content-type": "application/json" };

const get = ({ url }: TestServer, parameters: Parameters, headers: Readonly<Record<string, string>> = {}) =>
  fetch(`${url}?${new URLSearchParams(parameters)}`, { headers });
const post = (parameters: Parameters) =>
  fetch(`${server.url}?${new URLSearchParams(parameters)}`, {
    method: "POST",
    headers: JSON_BODY,
    body: '{"query":"{ __typename }"}',
  });

async function refused(response: Response | Promise<Response>, names: RegExp) {
  const received = await response;
  const answer: unknown = await received.json();
  expect({ status: received.status, answer }).toEqual({
    status: 400,
    answer: { errors: [{ message: expect.stringMatching(names), extensions: { code: "INVALID_INPUT" } }] },
  });
}

const LIST = "{ aiJobs { nodes { jobId } } }";
const WATCH = "subscription { aiJobsChanged { job { jobId } } }";

describe("query parameters that are not known are refused, by name:", () => {
  test.each<[string, Parameters, RegExp]>([
    ["one beside the operation", { query: LIST, workspace: "x" }, /"workspace"/],
    ["another case", { query: LIST, Variables: "{}" }, /"Variables"/],
    ["one that is there twice", `query=${LIST}&query={__typename}`, /"query"/],
    ["several", "a=1&b=2&c=3&d=4&e=5&f=6&g=7", /"a", "b", "c", "d", "e" and 2 more/],
    ["a long one", `${"x".repeat(5_000)}=1`, /"x{90,100} …"/],
  ])("%s", async (_what, parameters, names) => {
    await refused(get(server, parameters), names);
    await refused(get(server, parameters, EVENTS), names);
  });

  test("in a POST everything but the stream's token, since the operation is in the body", async () => {
    for (const name of ["query", "operationName", "workspaceId", "op"])
      await refused(post({ [name]: "x" }), RegExp(`"${name}"`));
    expect((await post("")).status).toBe(200);
  });

  test("in a PUT and a DELETE, too", async () => {
    await refused(fetch(`${server.url}?workspaceId=${workspaces[0]}`, { method: "PUT" }), /"workspaceId"/);
    await refused(fetch(`${server.url}?token=x&id=1`, { method: "DELETE" }), /"id"/);
  });

  test("but not for the page of GraphiQL, whose address may have others", async () => {
    const page = await get(server, { query: LIST, theme: "dark" }, { accept: "text/html" });
    expect([page.status, page.headers.get("content-type")]).toEqual([200, expect.stringContaining("text/html")]);
  });
});

test("all that the protocols have is known", async () => {
  const parameters = { query: `query A { __typename }`, variables: "{}", operationName: "A", extensions: "{}" };
  expect((await get(server, parameters)).status).toBe(200);
  // graphql-sse's own client in its single connection mode: token and operationId.
  const client = createSseClient({ url: server.url, singleConnection: true, retryAttempts: 0 });
  const results = client.iterate({ query: "{ __typename }" });
  expect(await results.next()).toMatchObject({ value: { data: { __typename: "Query" } } });
  const watching = client.iterate({ query: WATCH });
  await watching.return?.();
  client.dispose();
});

/** What a stream says first. */
async function firstOf(parameters: Parameters, headers: Readonly<Record<string, string>>): Promise<unknown> {
  const response = await get(withAuth, parameters, { ...EVENTS, ...headers });
  if (!response.headers.get("content-type")?.includes("text/event-stream")) return response.json();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    const [, data] = /^data: (\{.*\})$/m.exec(text) ?? [];
    if (data) return JSON.parse(data);
  }
  return text;
}

describe("the workspace of an event stream", () => {
  const snapshotOf = (job: number) => ({ data: { aiJobsChanged: { job: { jobId: jobs[job] } } } });

  test("is named by a query parameter, as by the header", async () => {
    for (const job of [0, 1]) {
      const workspaceId = workspaces[job] ?? "";
      const authorization = ofDeployment;
      expect(await firstOf({ query: WATCH, workspaceId }, { authorization })).toEqual(snapshotOf(job));
      const byHeader = { authorization, "x-workspace-id": workspaceId };
      expect(await firstOf({ query: WATCH }, byHeader)).toEqual(snapshotOf(job));
      const upper = workspaceId.toUpperCase();
      expect(await firstOf({ query: WATCH, workspaceId: upper }, byHeader)).toEqual(snapshotOf(job));
    }
  });

  test("must be named by a principal of the whole deployment", async () => {
    expect(await firstOf({ query: WATCH }, { authorization: ofDeployment })).toMatchObject({
      errors: [{ extensions: { code: "INVALID_INPUT" }, message: expect.stringContaining("x-workspace-id") }],
    });
  });

  test("is refused where header and parameter differ, or it is none", async () => {
    const headers = { authorization: ofDeployment, "x-workspace-id": workspaces[0] ?? "" };
    expect(await firstOf({ query: WATCH, workspaceId: workspaces[1] ?? "" }, headers)).toMatchObject({
      errors: [{ extensions: { code: "INVALID_INPUT" }, message: expect.stringContaining("different workspaces") }],
    });
    for (const workspaceId of ["", "x", "' OR true --"])
      expect(await firstOf({ query: WATCH, workspaceId }, { authorization: ofDeployment })).toMatchObject({
        errors: [{ extensions: { code: "INVALID_INPUT" } }],
      });
  });

  test("is never another than the principal's own", async () => {
    const parameters = { query: WATCH, workspaceId: workspaces[1] ?? "" };
    expect(await firstOf(parameters, { authorization: ofFirst })).toMatchObject({
      errors: [{ extensions: { code: "FORBIDDEN" } }],
    });
  });

  test("is not named by the parameter anywhere else", async () => {
    const workspaceId = workspaces[0] ?? "";
    const headers = { authorization: ofDeployment };
    await refused(get(withAuth, { query: LIST, workspaceId }, headers), /"workspaceId"/);
    await refused(
      get(withAuth, { query: LIST, workspaceId }, { ...headers, accept: "application/json, text/event-stream" }),
      /"workspaceId"/,
    );
    await refused(get(withAuth, { token: "x", workspaceId }, { ...headers, ...EVENTS }), /"workspaceId"/);
  });
});
