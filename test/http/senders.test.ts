import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { type LoggedServer, operation, post, startLoggedServer } from "../support/http.ts";

/** Requests byte by byte, as only a socket sends them: what is the sender's fault is no error of the server's. */

let database: Database;
let server: LoggedServer;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startLoggedServer(database);
});
afterAll(async () => {
  await server.close();
  await database.close();
});

/** Sends a text over a connection of its own. @returns all that comes back until the server or the client ends it. */
async function talk(text: string, { leaveAfterMs }: { readonly leaveAfterMs?: number } = {}): Promise<string> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  let answer = "";
  socket.on("data", (data) => {
    answer += String(data);
  });
  socket.write(text);
  if (leaveAfterMs !== undefined) setTimeout(() => socket.destroy(), leaveAfterMs);
  await once(socket, "close");
  return answer;
}

const hostOf = () => new URL(server.url).host;
const JSON_HEADERS = "Content-Type: application/json\r\nConnection: close\r\n";

test.each([
  ["a name with a user", () => `Host: evil@${hostOf()}`],
  ["a path", () => `Host: ${hostOf()}/evil`],
  ["two of them", () => `Host: ${hostOf()}\r\nHost: evil.example`],
])("a Host header with %s is refused", async (_what, host) => {
  const answer = await talk(`GET /live HTTP/1.1\r\n${host()}\r\n${JSON_HEADERS}\r\n`);
  expect(answer).toMatch(/^HTTP\/1.1 400 /);
});

test("a client that leaves in the middle of its body is not an error of the server's", async () => {
  server.logged();
  await talk(`POST /graphql HTTP/1.1\r\nHost: ${hostOf()}\r\n${JSON_HEADERS}Content-Length: 1000\r\n\r\n{"query":`, {
    leaveAfterMs: 50,
  });
  await sleep(100);
  expect(server.logged()).toEqual([]);
});

test("a refused value of megabytes is quoted by its beginning alone", async () => {
  for (const jobId of ["x".repeat(3_000_000), "a b ".repeat(500_000)]) {
    const query = "query ($jobId: UUID!) { aiJob(jobId: $jobId) { state } }";
    const { errors } = await post(server.url, operation(query, { jobId }));
    const message = String(errors?.[0]?.message);
    expect(message.length).toBeLessThan(500);
    expect(message).toMatch(/^Variable "\$jobId" got invalid value "/);
    expect(message).toMatch(/is not a UUID/);
  }
});
