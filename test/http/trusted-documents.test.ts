import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createClient } from "@ai-job-server/sdk/client";
import { createWorker, runOnce } from "@ai-job-server/sdk/worker";
import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { createClient as createSseClient } from "graphql-sse";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { z } from "zod";
import type { Database } from "../../src/db/database.ts";
import { openDatabase } from "../../src/db/open.ts";
import { OWN_DOCUMENTS } from "../../src/http/own-documents.ts";
import { readTrustedDocuments, type TrustedDocuments } from "../../src/http/trusted-documents.ts";
import { type Authenticator, createAuthenticator } from "../../src/identity/authenticator.ts";
import { createApiKey } from "../../src/identity/keys.ts";
import { ANONYMOUS } from "../../src/identity/principal.ts";
import { createWorkspace } from "../../src/identity/workspaces.ts";
import { engineOn, ok } from "../support/engine.ts";
import { post } from "../support/http.ts";
import { startTestServer, type TestServer } from "../support/server.ts";
import { killSpawned, spawnServer } from "../support/spawn-server.ts";

/** A server that executes the documents of a manifest alone: the one that GraphQL Code Generator writes for a client. */

const MODULES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const SCHEMA = fileURLToPath(new URL("../../schema.graphql", import.meta.url));
const CODEGEN = `export default {
  schema: ${JSON.stringify(SCHEMA)}, documents: "src/*.ts",
  generates: { "src/gql/": { preset: "client", presetConfig: { persistedDocuments: true } } },
};`;
const CLIENT = `import { graphql } from "./gql";
graphql(\`query TrustedList { aiJobs { totalCount } }\`);
graphql(\`subscription TrustedWatch { aiJobsChanged { kind } }\`);
graphql(\`mutation TrustedSubmit { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "p" }) { __typename } }\`);
`;

let folder: string;
let manifest: string;
let documents: TrustedDocuments;
let database: Database;
let authenticator: Authenticator;
let server: TestServer;
let open: TestServer;
const keys: Record<string, string> = {};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "trusted-documents-"));
  await mkdir(join(folder, "src"));
  await symlink(MODULES, join(folder, "node_modules"), "junction");
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(join(folder, "codegen.ts"), CODEGEN);
  await writeFile(join(folder, "src", "client.ts"), CLIENT);
  const tool = join(MODULES, "@graphql-codegen", "cli", "cjs", "bin.js");
  await promisify(execFile)(process.execPath, [tool, "--config", "codegen.ts"], { cwd: folder });
  manifest = join(folder, "src", "gql", "persisted-documents.json");
  documents = await readTrustedDocuments(manifest);
  database = await openDatabase({ kind: "memory" });
  const onError = () => undefined;
  authenticator = createAuthenticator({ prisma: database.prisma, operatorKey: "o".repeat(40), onError });
  server = await startTestServer(database, {}, { authenticator, trustedDocuments: documents });
  open = await startTestServer(database, {}, { trustedDocuments: documents });
  const engine = engineOn(database);
  const { workspaceId } = ok(await createWorkspace(engine, { name: "one", workspaceId: null }));
  for (const role of ["SUBMITTER", "WORKER", "ADMIN"] as const) {
    const key = { name: role, roles: [role], jobKinds: null, expiresAt: null, workspaceId };
    keys[role] = `Bearer ${ok(await createApiKey(engine, { ...ANONYMOUS, name: "operator" }, key)).secret}`;
  }
}, 300_000);
afterAll(async () => {
  await killSpawned();
  await server.close();
  await open.close();
  authenticator.close();
  await database.close();
  await rm(folder, { recursive: true });
});

function hashOf(name: string): string {
  const [hash] = [...documents].find(([, text]) => text.includes(` ${name} `)) ?? [];
  if (hash === undefined) throw new Error(`The manifest has no ${name}.`);
  return hash;
}
const persisted = (sha256Hash: string) => ({ persistedQuery: { version: 1, sha256Hash } });
const trusted = (name: string) => ({ extensions: persisted(hashOf(name)) });
const as = (role: string) => ({ authorization: keys[role] ?? "" });

const OTHER = { query: "{ aiJobs { nodes { jobInputs } } }" };
const FORBIDDEN = { errors: [{ extensions: { code: "FORBIDDEN" }, message: expect.stringContaining("trusted") }] };
const NOT_FOUND = { errors: [{ extensions: { code: "PERSISTED_QUERY_NOT_FOUND" } }] };

const messageSchema = z.looseObject({ type: z.string().optional(), payload: z.unknown() });
const parsed = (text: string): unknown => JSON.parse(text);
const operationSchema = z.looseObject({ extensions: z.record(z.string(), z.unknown()).default({}) });

/** How an operation is sent, and its first result. */
const TRANSPORTS: Readonly<Record<string, (operation: object, headers: Record<string, string>) => Promise<unknown>>> = {
  "HTTP POST": (operation, headers) => post(server.url, JSON.stringify(operation), headers),
  "HTTP GET": async (operation, headers) => {
    const parameters = Object.entries(operation).map(([name, value]): [string, string] => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    return parsed(await (await fetch(`${server.url}?${new URLSearchParams(parameters)}`, { headers })).text());
  },
  "an event stream": async (operation, headers) => {
    const init = { "content-type": "application/json", accept: "text/event-stream" };
    const body = JSON.stringify(operation);
    const response = await fetch(server.url, { method: "POST", headers: { ...init, ...headers }, body });
    return parsed(/^data: (\{.*\})$/m.exec(await response.text())?.[1] ?? "null");
  },
  "the single connection mode": async (operation, headers) => {
    const token = await (await fetch(server.url, { method: "PUT", headers })).text();
    const reader = new AbortController();
    const stream = await fetch(`${server.url}?token=${token}`, {
      headers: { accept: "text/event-stream", ...headers },
      signal: reader.signal,
    });
    const answer = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", "x-graphql-event-stream-token": token, ...headers },
      body: JSON.stringify({
        ...operation,
        extensions: { ...operationSchema.parse(operation).extensions, operationId: "1" },
      }),
    });
    if (answer.status !== 202) {
      reader.abort();
      return parsed(await answer.text());
    }
    let text = "";
    for await (const chunk of stream.body ?? []) {
      text += Buffer.from(chunk).toString();
      const [, data] = /^data: (\{.*\})$/m.exec(text) ?? [];
      // Ends the loop, and with it the stream.
      if (data !== undefined) return messageSchema.parse(parsed(data)).payload;
    }
    return undefined;
  },
  "graphql-ws": async (operation, headers) => {
    const socket = new WebSocket(server.url.replace("http", "ws"), "graphql-transport-ws", { headers });
    await once(socket, "open");
    socket.send('{"type":"connection_init"}');
    await once(socket, "message");
    // The protocol asks for a text, which is empty where the hash stands for it.
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: "", ...operation } }));
    const [data] = await once(socket, "message");
    socket.terminate();
    const { type, payload } = messageSchema.parse(parsed(String(data)));
    return type === "error" ? { errors: payload } : payload;
  },
};

describe.each(Object.keys(TRANSPORTS))("over %s", (transport) => {
  const send = (operation: object, role: string) => TRANSPORTS[transport]?.(operation, as(role));

  test("a document of the manifest is executed by its hash", async () => {
    expect(await send(trusted("TrustedList"), "SUBMITTER")).toMatchObject({ data: { aiJobs: { totalCount: 0 } } });
  });

  test("one of the manifest, or of the kit, is executed as a text, and nothing that looks like it", async () => {
    const own = [...OWN_DOCUMENTS].find((text) => text.startsWith("query Viewer{")) ?? "";
    for (const query of [documents.get(hashOf("TrustedList")) ?? "", own]) {
      expect(await send({ query }, "SUBMITTER")).toMatchObject({ data: expect.any(Object) });
      expect(await send({ query: ` ${query}` }, "SUBMITTER")).toMatchObject(FORBIDDEN);
    }
  });

  test("no other is, and nothing is registered", async () => {
    expect(await send(OTHER, "SUBMITTER")).toMatchObject(FORBIDDEN);
    expect(await send({ query: "{ __typename }", extensions: persisted("a".repeat(64)) }, "SUBMITTER")).toMatchObject(
      FORBIDDEN,
    );
    expect(await send({ extensions: persisted("a".repeat(64)) }, "SUBMITTER")).toMatchObject(NOT_FOUND);
  });

  test("an administrator may send any", async () => {
    expect(await send(OTHER, "ADMIN")).toMatchObject({ data: { aiJobs: { nodes: [] } } });
    expect(await send(trusted("TrustedList"), "ADMIN")).toMatchObject({ data: { aiJobs: { totalCount: 0 } } });
  });
});

test("a request without a document is told how to send one", async () => {
  expect(await post(server.url, "{}", as("SUBMITTER"))).toMatchObject({
    status: 400,
    errors: [{ extensions: { code: "INVALID_INPUT" }, message: expect.stringContaining("sha256Hash") }],
  });
});

test("a subscription of the manifest begins by its hash", async () => {
  const client = createSseClient({ url: server.url, headers: as("SUBMITTER"), retryAttempts: 0 });
  const watching = client.iterate({ query: "", ...trusted("TrustedWatch") });
  const first = watching.next();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await post(server.url, JSON.stringify(trusted("TrustedSubmit")), as("SUBMITTER"));
  expect(await first).toMatchObject({ value: { data: { aiJobsChanged: { kind: "EVENT" } } } });
  await watching.return?.();
});

test("the kit works with it as it is: who submits, who watches, and who works", async () => {
  const key = (role: string) => (keys[role] ?? "").replace("Bearer ", "");
  const client = createClient({ url: server.url, key: key("SUBMITTER") });
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "of-the-kit" });
  const worker = createWorker({ url: server.url, key: key("WORKER") });
  worker.handle("DOC_SUMMARIZE", async (_job, ctx) => ({
    outputs: await ctx.step("only", { type: "tool" }, () => "done"),
  }));
  const ended = client.waitFor(jobId);
  expect(await runOnce(worker)).toMatchObject({ ending: "completed" });
  expect(await ended).toMatchObject({ state: "COMPLETED" });
});

test("on a server without auth nobody is an administrator", async () => {
  expect(await post(open.url, JSON.stringify(OTHER))).toMatchObject({ status: 403, ...FORBIDDEN });
  expect(await post(open.url, JSON.stringify(trusted("TrustedList")))).toMatchObject({ status: 200 });
});

test("GraphiQL is there for administrators alone", async () => {
  const page = async (url: string, headers: Readonly<Record<string, string>> = {}) => {
    const response = await fetch(url, { headers: { accept: "text/html", ...headers } });
    return [response.status, response.headers.get("content-type")?.split(";")[0]];
  };
  expect(await page(server.url, as("ADMIN"))).toEqual([200, "text/html"]);
  expect(await page(server.url)).toEqual([401, "application/json"]);
  for (const refused of [page(server.url, as("SUBMITTER")), page(open.url)])
    expect(await refused).not.toContain("text/html");
  const root = await fetch(new URL("/", open.url), { headers: { accept: "text/html" }, redirect: "manual" });
  expect(root.status).toBe(200);
});

test("Apollo's client works with it, by the hashes of the manifest", async () => {
  const text = (query: { readonly definitions: readonly unknown[] }) => JSON.stringify(query.definitions[0]);
  const link = new PersistedQueryLink({
    generateHash: (query) => hashOf(text(query).includes("TrustedList") ? "TrustedList" : "TrustedWatch"),
  });
  const http = new HttpLink({ uri: server.url, headers: as("SUBMITTER") });
  const client = new ApolloClient({ link: link.concat(http), cache: new InMemoryCache() });
  const query = gql("query TrustedList { aiJobs { totalCount } }");
  expect(await client.query({ query })).toMatchObject({ data: { aiJobs: { totalCount: expect.any(Number) } } });
  client.stop();
});

describe("a manifest that cannot be used stops the start", () => {
  test.each([
    ["no JSON", "query { }", /must be a JSON object/],
    ["a list", "[]", /must be a JSON object/],
    ["nothing in it", "{}", /must be a JSON object/],
    ["something else than texts", '{ "a": 1 }', /must be a JSON object/],
    ["a document that is no GraphQL", '{ "abc": "query {" }', /hash abc is no GraphQL/],
  ])("%s", async (_what, text, message) => {
    const path = join(folder, "broken.json");
    await writeFile(path, text);
    await expect(readTrustedDocuments(path)).rejects.toThrow(message);
  });

  test("and a file that is not there, in a sentence", async () => {
    const { code, stderr } = await spawnServer({ DATABASE_URL: "memory:", TRUSTED_DOCUMENTS: join(folder, "none") })
      .exited;
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^The server cannot start.*\n {2}TRUSTED_DOCUMENTS: the manifest cannot be read: ENOENT/,
      ),
    });
  });
});

test("the manifest is read as it was written", async () => {
  expect(Object.fromEntries(documents)).toEqual(JSON.parse(await readFile(manifest, "utf8")));
  expect(documents.size).toBe(3);
});
