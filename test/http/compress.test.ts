import { get, type IncomingHttpHeaders } from "node:http";
import { buffer } from "node:stream/consumers";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { buildSchema } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { schema } from "../../src/graphql/schema.ts";
import { printSdl } from "../../src/graphql/sdl.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** What is compressed on its way, and what is not sent again. Asked with Node's own client, which decompresses nothing. */

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

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get(new URL(path, server.url), { headers }, (response) => {
      const { statusCode: status, headers: answered } = response;
      buffer(response).then((body) => resolve({ status, headers: answered, body }), reject);
    }).on("error", reject);
  });
}

const LONG = `/graphql?query=${encodeURIComponent("{ __schema { types { name description } } }")}`;
const SHORT = `/graphql?query=${encodeURIComponent("{ __typename }")}`;
const JSON_ONLY = { accept: "application/json" };

describe("an answer", () => {
  test.each([
    { accepts: "gzip", decompress: gunzipSync },
    { accepts: "br", decompress: brotliDecompressSync },
  ])("of more than 1 kB is compressed by $accepts where that is accepted", async ({ accepts, decompress }) => {
    const plain = await ask(LONG, JSON_ONLY);
    const { headers, body } = await ask(LONG, { ...JSON_ONLY, "accept-encoding": accepts });
    expect(headers).toMatchObject({ "content-encoding": accepts, vary: expect.stringContaining("Accept-Encoding") });
    expect(body.length).toBeLessThan(plain.body.length / 2);
    expect(decompress(body).equals(plain.body)).toBe(true);
  });

  test.each([
    ["of less is not", SHORT, { ...JSON_ONLY, "accept-encoding": "gzip" }],
    ["is not for a client that does not accept it", LONG, JSON_ONLY],
  ])("%s", async (_title, path, headers) => {
    expect((await ask(path, headers)).headers["content-encoding"]).toBeUndefined();
  });
});

test("a stream is never compressed, and its first event comes at once", async () => {
  const controller = new AbortController();
  const query = encodeURIComponent("subscription { aiJobsChanged { version } }");
  const response = await fetch(new URL(`/graphql?query=${query}`, server.url), {
    headers: { accept: "text/event-stream", "accept-encoding": "gzip, br" },
    signal: controller.signal,
  });
  expect(response.headers.get("content-type")).toMatch("text/event-stream");
  expect(response.headers.get("content-encoding")).toBeNull();
  controller.abort();
});

describe("/schema.graphql", () => {
  test("is the whole schema", async () => {
    const { status, headers, body } = await ask("/schema.graphql");
    expect([status, headers["content-type"]]).toEqual([200, "text/plain; charset=utf-8"]);
    expect(printSdl(buildSchema(body.toString()))).toBe(printSdl(schema));
  });

  test("is not sent again to whom has it", async () => {
    const etag = (await ask("/schema.graphql")).headers.etag ?? "";
    expect(etag).toMatch(/^W\/"[\w-]{43}"$/);
    for (const known of [etag, etag.replace("W/", ""), `"other", ${etag}`, "*"]) {
      const { status, headers, body } = await ask("/schema.graphql", { "if-none-match": known });
      expect([status, headers.etag, body.length]).toEqual([304, etag, 0]);
    }
    expect((await ask("/schema.graphql", { "if-none-match": '"other"' })).status).toBe(200);
  });
});
