import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Pages of other origins: the preflights that a browser sends for them, and the requests after. */

const FRIEND = "https://app.example";
const OTHER_FRIEND = "http://localhost:3000";
const STRANGER = "https://evil.example";
const OPERATOR_KEY = "o".repeat(40);

let database: Database;
let authenticator: Authenticator;
let servers: Readonly<Record<"closed" | "one" | "two" | "withAuth", TestServer>>;
beforeAll(async () => {
  database = await openTestDatabase();
  authenticator = createAuthenticator({
    prisma: database.prisma,
    operatorKey: OPERATOR_KEY,
    onError: () => undefined,
  });
  const corsOrigins = [FRIEND, OTHER_FRIEND];
  servers = {
    closed: await startTestServer(database),
    one: await startTestServer(database, {}, { corsOrigins: [FRIEND] }),
    two: await startTestServer(database, {}, { corsOrigins }),
    withAuth: await startTestServer(database, {}, { corsOrigins, authenticator }),
  };
});
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
  authenticator.close();
  await database.close();
});

interface Answer {
  readonly status: number | undefined;
  /** Of CORS alone, and `vary`. */
  readonly headers: Readonly<Record<string, unknown>>;
}

/** By node:http, because fetch sets Origin and sends preflights by itself or not at all. */
function send(
  { url }: TestServer,
  method: string,
  headers: Readonly<Record<string, string>>,
  path = "/graphql",
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, url), { method, headers }, (response) => {
      response.resume();
      response.once("end", () => {
        const named = Object.entries(response.headers).filter(([name]) => /^(access-control-.*|vary)$/.test(name));
        resolve({ status: response.statusCode, headers: Object.fromEntries(named) });
      });
    });
    sent.once("error", reject);
    sent.end(method === "POST" ? '{"query":"{ __typename }"}' : undefined);
  });
}

const ASKED = "authorization,content-type,x-workspace-id";
const preflight = (server: TestServer, origin: string, path?: string) =>
  send(
    server,
    "OPTIONS",
    { origin, "access-control-request-method": "POST", "access-control-request-headers": ASKED },
    path,
  );
const post = (server: TestServer, more: Readonly<Record<string, string>>) =>
  send(server, "POST", { "content-type": "application/json", ...more });

describe("a preflight", () => {
  test.each(["one", "two", "withAuth"] as const)(
    "of a configured origin is answered, without a credential: %s",
    async (name) => {
      const { status, headers } = await preflight(servers[name], FRIEND);
      expect(status).toBe(204);
      expect(headers).toMatchObject({
        "access-control-allow-origin": FRIEND,
        "access-control-allow-methods": "GET, POST, PUT, DELETE",
        "access-control-allow-headers": ASKED,
        "access-control-max-age": "7200",
        vary: "Access-Control-Request-Headers, Origin",
      });
      expect(headers).not.toHaveProperty("access-control-allow-credentials");
    },
  );

  test("of each configured origin names that one", async () => {
    for (const origin of [FRIEND, OTHER_FRIEND])
      expect((await preflight(servers.two, origin)).headers["access-control-allow-origin"]).toBe(origin);
  });

  test.each([
    ["where none is configured", "closed", FRIEND],
    ["where one other is configured", "one", STRANGER],
    ["where two others are configured", "two", STRANGER],
    ["with auth", "withAuth", STRANGER],
    ["of a page without an origin, such as a file", "two", "null"],
    ["of a configured host over http", "two", "http://app.example"],
    ["of a longer name", "two", "https://app.example.evil.example"],
    ["of several origins", "two", `${FRIEND}, ${STRANGER}`],
  ] as const)("of another origin is refused, and no origin is allowed: %s", async (_where, name, origin) => {
    for (const path of ["/graphql", "/schema.graphql", "/health", "/"]) {
      const { status, headers } = await preflight(servers[name], origin, path);
      expect({ status, headers: Object.keys(headers).filter((header) => header !== "vary") }).toEqual({
        status: 403,
        headers: [],
      });
    }
  });
});

describe("a request", () => {
  test("of a configured origin may be read, and so may its refusal", async () => {
    const allowed = { "access-control-allow-origin": FRIEND, vary: expect.stringContaining("Origin") };
    expect(await post(servers.two, { origin: FRIEND })).toMatchObject({ status: 200, headers: allowed });
    expect(await post(servers.withAuth, { origin: FRIEND })).toMatchObject({ status: 401, headers: allowed });
    const authorization = `Bearer ${OPERATOR_KEY}`;
    const answer = await post(servers.withAuth, { origin: FRIEND, authorization });
    expect(answer).toMatchObject({ status: 200, headers: allowed });
    expect(answer.headers).not.toHaveProperty("access-control-allow-credentials");
  });

  test("of another origin is refused, and cannot be read", async () => {
    for (const name of ["closed", "one", "two", "withAuth"] as const) {
      const { status, headers } = await post(servers[name], { origin: STRANGER });
      expect({ status, allowed: headers["access-control-allow-origin"] }).toEqual({ status: 403, allowed: undefined });
    }
  });

  test("without an origin names none, and is not kept for one by a cache", async () => {
    const { status, headers } = await post(servers.two, {});
    expect(status).toBe(200);
    expect(headers).toEqual({ vary: expect.stringContaining("Origin") });
    expect((await post(servers.closed, {})).headers).not.toHaveProperty("vary", expect.stringContaining("Origin"));
  });
});
