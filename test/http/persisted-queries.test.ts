import { hash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { createPersistedDocuments } from "../../src/http/plugins/use-persisted-queries.ts";
import { openTestDatabase } from "../support/database.ts";
import { type LoggedServer, post, send, startLoggedServer } from "../support/http.ts";

/** Automatic persisted queries, request by request. */

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

const sha256 = (text: string) => hash("sha256", text);
const persisted = (sha256Hash: string, version: unknown = 1) => ({ persistedQuery: { version, sha256Hash } });
const ask = (body: object) => post(server.url, JSON.stringify(body));
const notFound = {
  status: 400,
  errors: [{ message: "PersistedQueryNotFound", extensions: { code: "PERSISTED_QUERY_NOT_FOUND" } }],
};

describe("a persisted query", () => {
  test("is not found until its text came once; then its hash is enough, by POST and by GET", async () => {
    const query = "query Persisted { aiJobs { totalCount } }";
    const extensions = persisted(sha256(query));
    const found = { status: 200, data: { aiJobs: { totalCount: 0 } } };
    expect(await ask({ extensions })).toEqual(notFound);
    expect(await ask({ query, extensions })).toEqual(found);
    expect(await ask({ extensions })).toEqual(found);
    const parameters = new URLSearchParams({ extensions: JSON.stringify(extensions) });
    expect(await send(`${server.url}?${parameters}`, {})).toEqual(found);
    expect(server.logged()).toEqual([]);
  });

  test("is answered with 200 to a client of before, and over server-sent events", async () => {
    const body = JSON.stringify({ extensions: persisted(sha256("{ never }")) });
    expect(await post(server.url, body, { accept: "application/json" })).toEqual({ ...notFound, status: 200 });
    const headers = { "content-type": "application/json", accept: "text/event-stream" };
    const stream = await fetch(server.url, { method: "POST", headers, body });
    expect([stream.status, await stream.text()]).toEqual([200, expect.stringContaining("PERSISTED_QUERY_NOT_FOUND")]);
  });

  test("that changes something is not run by GET", async () => {
    const query = 'mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { __typename } }';
    const extensions = persisted(sha256(query));
    await ask({ query, extensions });
    const parameters = new URLSearchParams({ extensions: JSON.stringify(extensions) });
    expect(await send(`${server.url}?${parameters}`, {})).toMatchObject({ status: 405 });
  });

  test.each([
    ["a hash of another text", persisted(sha256("{ other }"))],
    ["a hash of another kind", persisted("d41d8cd98f00b204e9800998ecf8427e")],
    ["a version that there is not", persisted(sha256("{ __typename }"), 2)],
    ["no hash", { persistedQuery: {} }],
    ["a text for an object", { persistedQuery: "x" }],
  ])("is refused with %s, and not kept", async (_what, extensions) => {
    const answer = await ask({ query: "{ __typename }", extensions });
    expect(answer).toMatchObject({ status: 400, errors: [{ extensions: { code: "INVALID_INPUT" } }] });
    expect(await ask({ extensions: persisted(sha256("{ __typename }")) })).toEqual(notFound);
  });

  test("longer than any document may be is refused as without a hash, and not kept", async () => {
    const query = `{ __typename } #${"x".repeat(100_000)}`;
    const extensions = persisted(sha256(query));
    expect(await ask({ query, extensions })).toMatchObject({ errors: [{ message: expect.stringMatching(/100000/) }] });
    expect(await ask({ extensions })).toEqual(notFound);
  });
});

test("the documents that are kept have a bound: what was not used for the longest time goes first", () => {
  const documents = createPersistedDocuments(3_000);
  const text = "x".repeat(500);
  for (const hashed of ["a", "b", "c"]) documents.set(hashed, text);
  documents.get("a");
  documents.set("d", text);
  expect(["a", "b", "c", "d"].filter((hashed) => documents.get(hashed) !== undefined)).toEqual(["a", "c", "d"]);
  documents.set("huge", "x".repeat(3_000));
  expect(documents.get("huge")).toBeUndefined();
});
