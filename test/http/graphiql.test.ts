import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { startTestServer, type TestServer } from "../support/server.ts";

let database: Database;
let server: TestServer;
let page: Response;
let html: string;
beforeAll(async () => {
  database = await openDatabase({ kind: "memory" });
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
    const settings = html.match(/YogaGraphiQL\.renderYogaGraphiQL\([^,]*,\s*(\{.*?\}),?\s*\);/)?.[1];
    expect(settings).toBe('{"title":"AI Job Server","subscriptionsProtocol":"SSE"}');
  });
});
