import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Database } from "../../src/db/database.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** By which names, and from which pages, the server may be called: over HTTP and WebSocket, without auth and with it. */

const OPERATOR_KEY = "o".repeat(40);
const publicUrl = new URL("https://jobs.example.com");

let database: Database;
let authenticator: Authenticator;
let servers: Readonly<Record<"plain" | "public" | "withAuth", TestServer>>;
beforeAll(async () => {
  database = await openTestDatabase();
  authenticator = createAuthenticator({
    prisma: database.prisma,
    operatorKey: OPERATOR_KEY,
    onError: () => undefined,
  });
  servers = {
    plain: await startTestServer(database),
    public: await startTestServer(database, {}, { publicUrl }),
    withAuth: await startTestServer(database, {}, { publicUrl, authenticator }),
  };
});
afterAll(async () => {
  for (const server of Object.values(servers)) await server.close();
  authenticator.close();
  await database.close();
});

type Headers = Readonly<Record<string, string>>;

/** By node:http, because fetch sets the Host header itself. */
function statusOf(server: TestServer, headers: Headers): Promise<number | undefined> {
  const sent = request(server.url, { method: "POST", headers: { "content-type": "application/json", ...headers } });
  sent.end('{"query":"{ __typename }"}');
  return new Promise((resolve, reject) => {
    sent.once("error", reject);
    sent.once("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
  });
}

/** The status of a WebSocket's upgrade: 101 where it was accepted. */
async function upgradeOf(server: TestServer, headers: Headers): Promise<number> {
  const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws", { headers });
  const status = await new Promise<number>((resolve, reject) => {
    socket.once("upgrade", (response) => resolve(response.statusCode ?? 0));
    socket.once("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
    socket.once("error", reject);
  });
  socket.on("error", () => undefined);
  socket.terminate();
  return status;
}

const HOST = "jobs.example.com";
const ORIGIN = "https://jobs.example.com";
const authorization = `Bearer ${OPERATOR_KEY}`;

describe("a server without auth is called by", () => {
  test.each<[string, "plain" | "public", Headers, boolean]>([
    ["its address", "plain", {}, true],
    ["localhost", "plain", { host: "localhost:4000" }, true],
    ["a name that it does not know", "plain", { host: HOST }, false],
    ["its public name, as a proxy passes it on", "public", { host: HOST, origin: ORIGIN }, true],
    ["its public name with a port", "public", { host: `${HOST}:443` }, true],
    ["its own address, by a page at its public one", "public", { origin: ORIGIN }, true],
    ["a page at its public name over http", "public", { origin: "http://jobs.example.com" }, false],
    ["a page at a longer name", "public", { origin: "https://jobs.example.com.evil.example" }, false],
    ["a longer name", "public", { host: "jobs.example.com.evil.example" }, false],
    ["a foreign page", "public", { host: HOST, origin: "https://evil.example" }, false],
    ["a page without an origin, such as a file", "public", { host: HOST, origin: "null" }, false],
    ["a name that a foreign page rebound", "public", { host: "evil.example", origin: "http://evil.example" }, false],
    ["an address of the network", "public", { host: "192.168.1.2:4000" }, false],
  ])("%s", async (_by, server, headers, isAllowed) => {
    expect(await statusOf(servers[server], headers)).toBe(isAllowed ? 200 : 403);
    expect(await upgradeOf(servers[server], headers)).toBe(isAllowed ? 101 : 403);
  });
});

describe("a server with auth is called by", () => {
  test.each<[string, Headers, number, number]>([
    ["its public name", { host: HOST, origin: ORIGIN, authorization }, 200, 101],
    ["its public name, without a credential", { host: HOST, origin: ORIGIN }, 401, 101],
    ["an address of the network", { host: "192.168.1.2:4000" }, 401, 101],
    ["one of IPv6", { host: "[fd00::2]:4000" }, 401, 101],
    ["a program by a name that it does not know", { host: "server:4000", authorization }, 200, 101],
    ["the same without a credential, which is refused before anything else", { host: "server:4000" }, 401, 101],
    ["a name that a foreign page rebound", { host: "evil.example", origin: "http://evil.example" }, 403, 403],
    ["a foreign page with a credential", { host: HOST, origin: "https://evil.example", authorization }, 403, 403],
  ])("%s", async (_by, headers, status, upgrade) => {
    expect(await statusOf(servers.withAuth, headers)).toBe(status);
    expect(await upgradeOf(servers.withAuth, headers)).toBe(upgrade);
  });
});
