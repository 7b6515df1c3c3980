import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What stands at which path, for people who open the server in a browser or mistype its address. */

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

const HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

const get = (path: string, init: RequestInit = {}) => fetch(new URL(path, server.url), init);

test("/ names what there is", async () => {
  const response = await get("/");
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({
    graphql: "/graphql",
    schema: "/schema.graphql",
    health: "/health",
    ready: "/ready",
    live: "/live",
    session: "/session",
  });
});

test("/ is the console for a browser", async () => {
  const page = await get("/", { headers: { accept: HTML }, redirect: "manual" });
  expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
  expect(await page.text()).toContain("<title>AI Job Server</title>");
});

test.each(["/foo/graphql", "/graphql/", "/api", "/favicon.ico"])(
  "nothing is served at %s, and the answer names the API",
  async (path) => {
    const response = await get(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "{ __typename }" }),
    });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({
      errors: [
        { message: "There is nothing at this path. The API is at /graphql.", extensions: { code: "NOT_FOUND" } },
      ],
    });
  },
);

test("a browser gets the console's page at a path that nothing is at, with the status that says so", async () => {
  for (const path of ["/nowhere", "/no/such/view", "/graphql/"]) {
    const page = await get(path, { headers: { accept: HTML } });
    expect([path, page.status, page.headers.get("content-type")]).toEqual([path, 404, "text/html; charset=utf-8"]);
    expect(await page.text()).toContain("<title>AI Job Server</title>");
  }
  for (const path of ["/health", "/live", "/schema.graphql", "/assets/none.js"])
    expect(await (await get(path, { headers: { accept: HTML } })).text()).not.toContain("<title>AI Job Server</title>");
  const other = await get("/nowhere", { headers: { accept: "*/*" } });
  expect([other.status, await other.json()]).toMatchObject([404, { errors: [{ extensions: { code: "NOT_FOUND" } }] }]);
});

test("a subscription that asks for plain JSON is told how to ask", async () => {
  const response = await get("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ query: "subscription { aiJobsChanged { version } }" }),
  });
  expect(response.status).toBe(406);
  expect(await response.json()).toMatchObject({
    errors: [{ message: expect.stringContaining("text/event-stream"), extensions: { code: "INVALID_INPUT" } }],
  });
});

test("/ready says that writes succeed", async () => {
  const response = await get("/ready");
  expect([response.status, await response.json()]).toEqual([200, { ready: true }]);
});

test("the schema and its scalars say what they are", async () => {
  const query = `{ __schema { description } uuid: __type(name: "UUID") { specifiedByURL }
    time: __type(name: "DateTime") { specifiedByURL } json: __type(name: "JSON") { specifiedByURL } }`;
  const response = await get("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  expect(await response.json()).toEqual({
    data: {
      __schema: { description: expect.stringContaining("submitAiJob") },
      uuid: { specifiedByURL: "https://www.rfc-editor.org/rfc/rfc9562" },
      time: { specifiedByURL: "https://www.rfc-editor.org/rfc/rfc3339" },
      json: { specifiedByURL: "https://www.rfc-editor.org/rfc/rfc8259" },
    },
  });
});
