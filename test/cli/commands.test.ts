import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { isApiKeySecret } from "../../src/identity/api-key.ts";
import { killSpawned, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** The command line as a shell runs it: what it prints where, and how it ends. */

const OPERATOR_KEY = "the-key-of-the-operator-of-this-test";
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** A machine that is busy with other tests takes its time; a command takes a second. */
const LIMIT_MS = 240_000;
const keyIds = z.array(z.object({ apiKeyId: z.string() }).transform((key) => key.apiKeyId));
const UUID_LINE = /^[0-9a-f-]{36}\n$/;

let folder: string;
let server: SpawnedServer;
let url: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ai-job-server-cli-"));
  server = spawnServer({ DATABASE_URL: `file:${folder}/data`, OPERATOR_KEY });
  url = await server.url;
}, LIMIT_MS);
afterAll(async () => {
  await killSpawned();
  await rm(folder, { recursive: true });
});

async function cli(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const [code, stdout, stderr] = await Promise.all([exited, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

/** As the operator, at the server of this test. */
function operator(...args: readonly string[]) {
  return cli(args, { AI_JOB_SERVER_URL: url, AI_JOB_SERVER_KEY: OPERATOR_KEY });
}

test("what a script takes stands alone on standard output, and a secret nowhere else", {
  timeout: LIMIT_MS,
}, async () => {
  const workspace = await operator("workspaces", "create", "Team A");
  expect(workspace).toMatchObject({ code: 0, stdout: expect.stringMatching(UUID_LINE) });
  const workspaceId = workspace.stdout.trim();
  const options = ["--role", "viewer,worker", "--workspace", workspaceId, "--kind", "doc_edit", "--expires", "30d"];
  const made = await operator("keys", "create", "a \u202eworker", ...options);
  const secret = made.stdout.trim();
  expect({ code: made.code, isSecret: isApiKeySecret(secret), lines: made.stdout.split("\n").length }).toEqual({
    code: 0,
    isSecret: true,
    lines: 2,
  });
  expect(made.stderr).toMatch(/ajs_\w{4}….* Team A +VIEWER, WORKER +DOC_EDIT +20/);
  expect(made.stderr).toContain("a \ufffdworker");
  expect(made.stderr).not.toContain(secret);

  const answer = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
    body: '{"query":"{ viewer { workspace { workspaceId } } }"}',
  });
  expect(await answer.json()).toEqual({ data: { viewer: { workspace: { workspaceId } } } });

  const [listed, others] = await Promise.all([
    operator("keys", "list", "--workspace", workspaceId, "--json"),
    operator("keys", "list", "--workspace", "0198c0de-0000-7000-8000-00000000000b"),
  ]);
  const [apiKeyId = ""] = keyIds.parse(JSON.parse(listed.stdout));
  expect(JSON.parse(listed.stdout)).toMatchObject([{ workspace: { workspaceId, name: "Team A" }, revokedAt: null }]);
  expect(others).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ID [^\n]*\n$/), stderr: "" });

  const rotated = await operator("keys", "rotate", apiKeyId, "--overlap", "1h", "--json");
  expect(JSON.parse(rotated.stdout)).toMatchObject({ apiKey: { overlapUntil: expect.stringMatching(/Z$/) } });
  expect(rotated.stderr).toBe("");
  const revoked = await operator("keys", "revoke", apiKeyId, "--include-descendants");
  expect(revoked).toMatchObject({ code: 0, stdout: expect.stringMatching(/ revoked 20/) });
});

test("a key may come from a file", { timeout: LIMIT_MS }, async () => {
  const file = join(folder, "key");
  await writeFile(file, `${OPERATOR_KEY}\n`);
  const [listed, missing] = await Promise.all([
    cli(["workspaces", "list", "--json", "--url", url, "--key-file", file]),
    cli(["workspaces", "list", "--url", url, "--key-file", join(folder, "none")]),
  ]);
  expect(JSON.parse(listed.stdout)).toContainEqual(expect.objectContaining({ retentionDays: null }));
  expect(missing).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("The key cannot be read") });
});

test.each([
  ["no key", [], { AI_JOB_SERVER_KEY: "" }, "This server asks for a key: put one into AI_JOB_SERVER_KEY"],
  ["a bad key", [], { AI_JOB_SERVER_KEY: "another" }, "The server does not accept this key"],
  ["a key of two words", [], { AI_JOB_SERVER_KEY: "Bearer another" }, "it must be one word"],
  [
    "no server",
    ["--url", "http://127.0.0.1:65500/graphql"],
    {},
    "No server listens on http://127.0.0.1:65500/graphql. Start it",
  ],
  ["a running server's folder", ["--direct"], {}, "is locked by process"],
] as const)("%s: a sentence that says what to do, and 1", { timeout: LIMIT_MS }, async (_what, args, env, sentence) => {
  const settings = { AI_JOB_SERVER_URL: url, AI_JOB_SERVER_KEY: OPERATOR_KEY, DATABASE_URL: `file:${folder}/data` };
  const { code, stdout, stderr } = await cli(["keys", "list", ...args], { ...settings, ...env });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toContain(sentence);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});

test("what the server refuses is its sentence, and what is no such server is said", { timeout: LIMIT_MS }, async () => {
  const other = createServer((_request, response) => response.writeHead(302, { location: url }).end("elsewhere"));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = other.address();
  const elsewhere = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/`;
  const [homeless, moved] = await Promise.all([
    operator("keys", "create", "k", "--role", "VIEWER"),
    cli(["keys", "list", "--url", elsewhere], { AI_JOB_SERVER_KEY: OPERATOR_KEY }),
  ]);
  other.close();
  expect(homeless).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("Here that is --workspace") });
  expect(moved).toMatchObject({ code: 1, stderr: expect.stringContaining("answered with HTTP 302") });
});

test.each([
  [[]],
  [["keys", "create", "k", "--role", "KING", "--workspace", "01a227be-b5ae-7fa5-800e-0e7b9ffbe1e2"]],
  [["keys", "list", "--direct", "--key-file", "key"]],
])("used wrongly, it says how, and ends with 2: %j", { timeout: LIMIT_MS }, async (args) => {
  expect(await operator(...args)).toEqual({ code: 2, stdout: "", stderr: expect.stringMatching(/error: |Usage: /) });
});

test("an address that is none is refused the same way, wherever it stands", { timeout: LIMIT_MS }, async () => {
  const [option, variable, unset, direct] = await Promise.all([
    cli(["keys", "list", "--url", "nowhere"]),
    cli(["keys", "list"], { AI_JOB_SERVER_URL: "nowhere" }),
    cli(["keys", "list", "--url", url], { AI_JOB_SERVER_URL: "nowhere", AI_JOB_SERVER_KEY: OPERATOR_KEY }),
    cli(["keys", "list", "--direct"], { AI_JOB_SERVER_URL: "nowhere", DATABASE_URL: "memory:" }),
  ]);
  const said = /^error: .*invalid\. The address of an API is like http:[^\n]*\n$/;
  expect(option).toEqual({ code: 2, stdout: "", stderr: expect.stringMatching(said) });
  expect(variable).toEqual({ code: 2, stdout: "", stderr: expect.stringMatching(said) });
  expect(variable.stderr).toContain("AI_JOB_SERVER_URL");
  // Nor is it looked at where nobody needs it.
  expect(unset).toMatchObject({ code: 0, stderr: "" });
  expect(direct.stderr).not.toContain("AI_JOB_SERVER_URL");
});

test("--help is no error", { timeout: LIMIT_MS }, async () => {
  expect(await cli(["keys", "create", "--help"])).toMatchObject({ code: 0, stderr: "" });
});

test("on a stopped server's store a key is made, and works when it is started again", {
  timeout: LIMIT_MS,
}, async () => {
  const DATABASE_URL = `file:${folder}/data`;
  await server.end("SIGTERM");
  const workspace = await cli(["workspaces", "create", "Team B", "--direct"], { DATABASE_URL });
  expect(workspace.stdout).toMatch(UUID_LINE);
  const args = ["keys", "create", "k", "--role", "ADMIN", "--workspace", workspace.stdout.trim(), "--direct"];
  const { stdout: key } = await cli(args, { DATABASE_URL });
  server = spawnServer({ DATABASE_URL, AUTH: "required" });
  const again = await server.url;
  const env = { AI_JOB_SERVER_URL: again, AI_JOB_SERVER_KEY: key };
  const [listed, workspaces] = await Promise.all([
    cli(["keys", "list", "--json"], env),
    cli(["workspaces", "list"], env),
  ]);
  expect(JSON.parse(listed.stdout)).toMatchObject([{ name: "k", createdBy: "operator", roles: ["ADMIN"] }]);
  expect(workspaces).toMatchObject({ code: 1, stderr: expect.stringContaining("the permission WORKSPACES_MANAGE") });
});
