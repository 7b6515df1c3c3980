import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { openBrowser, type TestBrowser } from "../support/browser.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { killSpawned, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** A page of the server's own in a real browser: it logs in, and its EventSource and WebSocket send nothing but the cookie. */

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";

let database: Awaited<ReturnType<typeof createPostgresDatabase>>;
let browser: TestBrowser;
let server: SpawnedServer;
beforeAll(async () => {
  database = await createPostgresDatabase();
  server = spawnServer({ ...database.env, OPERATOR_KEY });
  browser = await openBrowser();
  await server.url;
}, 180_000);
afterAll(async () => {
  await browser.close();
  await killSpawned();
  await database.drop();
});

const answer = z.object({ data: z.record(z.string(), z.record(z.string(), z.unknown())) });
const created = z.object({ secret: z.string(), apiKey: z.object({ apiKeyId: z.string() }) });
const made = z.object({ workspace: z.object({ workspaceId: z.string() }) });

/** Asks as the operator, and @returns what its one field answers. */
async function operate(query: string, headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const response = await fetch(await server.url, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${OPERATOR_KEY}`, ...headers },
    body: JSON.stringify({ query }),
  });
  return Object.values(answer.parse(await response.json()).data)[0];
}

async function aViewersKey() {
  const query =
    'mutation { createWorkspace(input: { name: "one" }) { ... on CreateWorkspacePayload { workspace { workspaceId } } } }';
  const { workspace } = made.parse(await operate(query));
  const workspaceHeader = { "x-workspace-id": workspace.workspaceId };
  const key = `mutation { createApiKey(input: { name: "v", roles: [VIEWER] }) {
    ... on CreateApiKeyPayload { secret apiKey { apiKeyId } } } }`;
  const { secret, apiKey } = created.parse(await operate(key, workspaceHeader));
  const submit = () =>
    operate('mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { __typename } }', workspaceHeader);
  return { secret, apiKeyId: apiKey.apiKeyId, submit };
}

test("a page logs in, watches by its cookie alone, and is told when its key is revoked", async () => {
  const { secret, apiKeyId, submit } = await aViewersKey();
  const page = await browser.context.newPage();
  await page.goto(new URL("/live", await server.url).href);
  const address = `/graphql?query=${encodeURIComponent("subscription { change: aiJobsChanged { version } }")}`;
  const evaluated = (expression: string) => page.evaluate<unknown>(expression);

  expect(await evaluated(`fetch(${JSON.stringify(address)}).then(({ status }) => status)`)).toBe(401);
  const login = `fetch("/session", { method: "POST", headers: { authorization: ${JSON.stringify(`Bearer ${secret}`)} } })`;
  expect(await evaluated(`${login}.then(({ status }) => status)`)).toBe(204);
  expect(await evaluated("document.cookie")).toBe("");

  await page.evaluate(`
    window.seen = [];
    window.opened = 0;
    const events = new EventSource(${JSON.stringify(address)});
    events.addEventListener("open", () => { window.opened += 1; });
    events.addEventListener("next", ({ data }) => { window.seen.push(data); });
    events.addEventListener("complete", () => { window.seen.push("complete"); events.close(); });
    const socket = new WebSocket("ws://" + location.host + "/graphql", "graphql-transport-ws");
    socket.addEventListener("open", () => socket.send('{"type":"connection_init"}'));
    socket.addEventListener("message", ({ data }) => { window.socketSaid = data; });
    socket.addEventListener("close", ({ code }) => { window.socketClosed = code; });
  `);
  await vi.waitUntil(async () => (await evaluated("window.socketSaid")) === '{"type":"connection_ack"}', {
    timeout: 30_000,
  });
  await vi.waitUntil(async () => (await evaluated("window.opened")) === 1, { timeout: 30_000 });
  await submit();
  const seen = async () => z.array(z.string()).parse(await evaluated("window.seen"));
  await vi.waitUntil(async () => (await seen()).length === 1, { timeout: 30_000 });

  await operate(`mutation { revokeApiKey(input: { apiKeyId: "${apiKeyId}" }) { __typename } }`);
  await vi.waitUntil(async () => (await seen()).at(-1) === "complete", { timeout: 30_000 });
  expect((await seen()).at(-2)).toContain("UNAUTHENTICATED");
  await vi.waitUntil(async () => (await evaluated("window.socketClosed")) === 4403, { timeout: 30_000 });
  expect(await evaluated(`fetch(${JSON.stringify(address)}).then(({ status }) => status)`)).toBe(401);
  expect(await evaluated("window.opened")).toBe(1);
  await page.close();
}, 180_000);
