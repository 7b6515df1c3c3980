import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { excessOf } from "../../src/http/json-text.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

/** Requests that are no request: each is told what is wrong with it, by a status that says whose fault it is. */

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

const get = (parameters: string) => fetch(`${server.url}?${parameters}`);
const post = (body: string | Uint8Array<ArrayBuffer>, headers: Readonly<Record<string, string>> = {}) =>
  fetch(server.url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
const skipped = encodeURIComponent(
  "subscription { ...A } fragment A on Subscription { ...B } fragment B on Subscription { ...A ... @skip(if: true) { aiJobsChanged { version } } }",
);

test.each<[string, () => Promise<Response>, number, RegExp]>([
  ["variables that are cut off", () => get("query={__typename}&variables={"), 400, /variables must be a JSON object/],
  ["variables that are a list", () => get("query={__typename}&variables=[]"), 400, /variables must be a JSON object/],
  [
    "extensions that are cut off",
    () => get("query={__typename}&extensions={"),
    400,
    /extensions must be a JSON object/,
  ],
  [
    "a subscription to nothing, whose stream says so",
    () => fetch(`${server.url}?query=${skipped}`, { headers: { accept: "text/event-stream" } }),
    200,
    /must not have @skip/,
  ],
  ["a body that is no JSON", () => post("{"), 400, /must be a JSON object/],
  ["a body that is a text", () => post('"query"'), 400, /must be a JSON object/],
  ["a body that is a list", () => post("[]"), 400, /must be a JSON object/],
  ["no body", () => post(""), 400, /must be a JSON object/],
  ["a compressed body", () => post("\u001f", { "content-encoding": "gzip" }), 415, /content-encoding/],
  [
    "a text that is not UTF-8",
    () => post(Uint8Array.of(...Buffer.from('{"query":"{ a }","variables":{"a":"'), 0xc3, 0x28, ...Buffer.from('"}}'))),
    400,
    /not UTF-8/,
  ],
  ["4 MB that are not UTF-8", () => post(new Uint8Array(4_000_000).fill(0xff)), 400, /not UTF-8/],
  ["a query that is a number", () => post('{"query":1}'), 400, /query/i],
])("%s", async (_what, ask, status, says) => {
  const response = await ask();
  const text = await response.text();
  expect([response.status, text]).toEqual([status, expect.stringMatching(says)]);
  expect(text).not.toContain("INTERNAL_SERVER_ERROR");
});

describe("what a JSON text has too much of is told without parsing it:", () => {
  const limits = { maxDepth: 3, maxValues: 6, queryDepth: 1 };
  test.each<[string, ReturnType<typeof excessOf>]>([
    ["[[[1]]]", undefined],
    ["[[[[1]]]]", "maxDepth"],
    ['{"a":{"b":[{}]}}', "maxDepth"],
    ["[1,2,3,4]", undefined],
    ["[1,2,3,4,5,6]", "maxValues"],
    ["[{},{},{},{}]", "maxValues"],
    ['"[[[[,,,,,,"', undefined],
    ['["\\"[[[[",1]', undefined],
    ['["\\\\",[[[1]]]]', "maxDepth"],
    ['"no end [[[[', undefined],
    ["", undefined],
    [`{"query":"${"x".repeat(600_001)}"}`, "maxQuery"],
    [`{"operationName":null,"query" : "${"x".repeat(600_001)}"}`, "maxQuery"],
    [`{"query":"${"\\u0041".repeat(99_999)}"}`, undefined],
    [`{"a":{"query":"${"x".repeat(600_001)}"}}`, undefined],
    [`{"a":"\\"query\\":","b":"${"x".repeat(600_001)}"}`, undefined],
  ])("%.80s", (text, excess) => {
    expect(excessOf(text, limits)).toBe(excess);
  });
});
