import { Kind, parse } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { openTestDatabase } from "../support/database.ts";
import { watch } from "../support/live.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

let database: Database;
let server: TestServer;
let page: Response;
let html: string;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startTestServer(database);
  page = await fetch(server.url, { headers: { accept: "text/html" } });
  html = await page.text();
});
afterAll(async () => {
  await server.close();
  await database.close();
});

/** The page's markup, without what stands inside of its scripts and styles. */
function markup(): string {
  return html.replace(/(<(script|style)\b[^>]*>)[\s\S]*?<\/\2>/g, "$1");
}

/** What the page makes a browser fetch: the addresses in its tags, and the imports of its styles. */
function addresses(): string[] {
  const inTags = [...markup().matchAll(/<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="([^"]*)"/g)];
  const inStyles = [...html.matchAll(/@import\s+(?:url\()?["']?([^"')]+)/g)];
  return [...inTags, ...inStyles].flatMap(([, address]) => address ?? []);
}

describe("GraphiQL", () => {
  test("is what a browser gets at the endpoint", () => {
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toMatch(/^text\/html/);
    expect(markup()).toContain("<title>AI Job Server</title>");
  });

  test("brings its own script, and does not fetch it from anywhere", () => {
    expect(html.length).toBeGreaterThan(1_000_000);
    expect(addresses().filter((address) => !address.startsWith("data:"))).toEqual([]);
  });

  test("subscribes over SSE, at the address it was served from", () => {
    expect(settings()).toEqual({
      title: "AI Job Server",
      subscriptionsProtocol: "SSE",
      defaultQuery: expect.stringContaining("mutation Submit"),
    });
  });

  test("begins with three operations that work as they stand", async () => {
    const { defaultQuery } = settings();
    const document = parse(String(defaultQuery));
    const names = document.definitions.flatMap((each) =>
      each.kind === Kind.OPERATION_DEFINITION ? (each.name?.value ?? []) : [],
    );
    expect(names).toEqual(["Submit", "Jobs", "Watch"]);
    for (const operationName of ["Submit", "Jobs"]) {
      const response = await fetch(server.url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ query: defaultQuery, operationName }),
      });
      expect(await response.json()).not.toHaveProperty("errors");
    }
    await using watched = watch(
      "graphql-sse",
      server.url,
      { query: SUBSCRIPTION.exec(String(defaultQuery))?.[0] ?? "" },
      (data) => data,
    );
    expect(await watched.until((seen) => seen.length > 0)).toMatchObject([{ aiJobsChanged: { kind: "SNAPSHOT" } }]);
  });

  const askedFor = async (query: string, variables: string) => {
    const address = new URL(server.url);
    address.search = new URLSearchParams({ query, variables }).toString();
    return (await fetch(address, { headers: { accept: "text/html" } })).text();
  };

  test("has the operation and the variables of its address, as people read them", async () => {
    const asked = await askedFor("query A($first:Int){aiJobs(first:$first){totalCount}}", '{"first":1}');
    expect(settings(asked)).toMatchObject({
      query: "query A($first: Int) {\n  aiJobs(first: $first) {\n    totalCount\n  }\n}",
      variables: '{\n  "first": 1\n}',
    });
  });

  test("takes nothing from its address that is none", async () => {
    const asked = settings(await askedFor("query {", "{first: 1}"));
    expect([asked.query, asked.variables]).toEqual([undefined, undefined]);
  });

  test("runs nothing that stands in its address", async () => {
    const attack = "</script><script>alert(1)</script>";
    const asked = await askedFor(
      `{ aiJobByIdempotencyKey(idempotencyKey: "${attack}") { id } }`,
      `{"key":"${attack}"}`,
    );
    expect(asked).not.toContain(attack);
    expect(JSON.parse(String(settings(asked).variables))).toEqual({ key: attack });
  });

  const SUBSCRIPTION = /^subscription[^]*?^\}/m;

  function settings(of = html): Record<string, unknown> {
    const text = of.match(/YogaGraphiQL\.renderYogaGraphiQL\([^,]*,\s*(\{.*\}),?\s*\);/)?.[1] ?? "{}";
    return z.looseObject({}).parse(JSON.parse(text));
  }
});
