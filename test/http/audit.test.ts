import { serverAudits } from "graphql-http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** The GraphQL over HTTP specification, as the reference implementation audits it: MUST, SHOULD and MAY alike hold. */

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

const audits = serverAudits({ url: () => server.url, fetchFn: fetch });

describe("the server, by the graphql-http audit,", () => {
  test("is asked about everything that the audit knows", () => {
    expect(audits.length).toBeGreaterThanOrEqual(61);
    expect(audits.filter(({ name }) => name.startsWith("MUST")).length).toBeGreaterThanOrEqual(12);
  });

  test.each(audits)("$name ($id)", async ({ id, name, fn }) => {
    expect(await fn()).toEqual({ id, name, status: "ok" });
  });
});
