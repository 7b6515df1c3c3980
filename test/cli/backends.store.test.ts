import { createClient } from "@ai-job-server/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Backend, PAGE_ROWS } from "../../src/cli/backend.ts";
import { backendOn } from "../../src/cli/direct.ts";
import { backendOf } from "../../src/cli/http.ts";
import { createAuthenticator } from "../../src/identity/authenticator.ts";
import { UUID_PATTERN } from "../../src/uuid.ts";
import { openTestDatabase } from "../support/database.ts";
import { startTestServer } from "../support/server.ts";

/** Over HTTP and of the database itself, a command does the same and says the same. */

const OPERATOR_KEY = "the-key-of-the-operator-of-this-test";
const WORKSPACE = "0198c0de-0000-7000-8000-00000000000a";
const OTHER = "0198c0de-0000-7000-8000-00000000000b";
const NOBODY = "0198c0de-0000-7000-8000-00000000000c";

type Open = (workspaceId?: string) => Backend;

/** Each way on a database of its own. */
const ways: Record<"http" | "direct", Open> = { http: notOpen, direct: notOpen };
const cleanups: (() => Promise<unknown> | void)[] = [];

function notOpen(): Backend {
  throw new Error("It is opened before the tests.");
}

beforeAll(async () => {
  const [served, unserved] = [await openTestDatabase(), await openTestDatabase()];
  const onError = () => undefined;
  const authenticator = createAuthenticator({ prisma: served.prisma, operatorKey: OPERATOR_KEY, onError });
  const server = await startTestServer(served, {}, { authenticator });
  cleanups.push(served.close, unserved.close, () => authenticator.close(), server.close);
  ways.http = (workspaceId) => backendOf(createClient({ url: server.url, key: OPERATOR_KEY, workspaceId }));
  ways.direct = (workspaceId) => backendOn(unserved, workspaceId);
}, 300_000);
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

const aKey = {
  name: "k",
  roles: ["WORKER"],
  jobKinds: null,
  expiresAt: null,
  allWorkspaces: false,
} satisfies Parameters<Backend["createKey"]>[0];

/** All commands, and what each is refused for. @returns what each said, with its own ids, secrets and times left out. */
async function transcript(open: Open): Promise<readonly unknown[]> {
  const said: unknown[] = [];
  const run = async <Result>(work: (backend: Backend) => Promise<Result>, workspaceId?: string) => {
    const result = work(open(workspaceId));
    said.push(await result.catch((error: unknown) => (error instanceof Error ? error.message : "no error")));
    return result;
  };
  const refused = (work: (backend: Backend) => Promise<unknown>, workspaceId?: string) =>
    run(work, workspaceId).then(
      () => expect.unreachable(),
      () => undefined,
    );
  const { workspaceId } = await run((cli) => cli.createWorkspace({ name: "one", workspaceId: WORKSPACE }));
  await run((cli) => cli.createWorkspace({ name: "one", workspaceId }));
  await refused((cli) => cli.createWorkspace({ name: "other", workspaceId }));
  await run((cli) => cli.createWorkspace({ name: "two", workspaceId: OTHER }));
  await run((cli) => cli.listWorkspaces());
  const expiresAt = new Date("2999-01-01T00:00:00Z");
  const full = { ...aKey, roles: ["ADMIN", "VIEWER"] as const, jobKinds: ["DOC_EDIT"] as const, expiresAt };
  const { apiKey, secret } = await run((cli) => cli.createKey(full), WORKSPACE);
  expect(secret.startsWith(apiKey.prefix)).toBe(true);
  await run((cli) => cli.createKey({ ...aKey, allWorkspaces: true }));
  await refused((cli) => cli.createKey(aKey));
  await refused((cli) => cli.createKey(aKey), NOBODY);
  await refused((cli) => cli.createKey({ ...aKey, expiresAt: new Date("2020-01-01T00:00:00Z") }), WORKSPACE);
  const which = { apiKeyId: apiKey.apiKeyId, overlapSeconds: 60 };
  const rotated = await run((cli) => cli.rotateKey(which));
  expect(rotated.secret).not.toBe(secret);
  await refused((cli) => cli.rotateKey({ ...which, apiKeyId: NOBODY }));
  await run((cli) => cli.listKeys());
  await run((cli) => cli.revokeKey({ apiKeyId: apiKey.apiKeyId, includeDescendants: true }));
  await refused((cli) => cli.revokeKey({ apiKeyId: NOBODY, includeDescendants: false }));
  await refused((cli) => cli.rotateKey(which));
  await run((cli) => cli.listKeys());
  return said;
}

const KNOWN = [WORKSPACE, OTHER, NOBODY, "00000000-0000-7000-8000-000000000000"];

function withoutOwn(said: readonly unknown[]): unknown {
  const own = new RegExp(String.raw`${UUID_PATTERN}|ajs_\w+|20\d\d-[\d\-T:.]+Z|(?<="lastFour": ?")\w+`, "g");
  return JSON.parse(JSON.stringify(said).replace(own, (text) => (KNOWN.includes(text) ? text : "own")));
}

test("each command says the same in both ways", async () => {
  const [http, direct] = [await transcript(ways.http), await transcript(ways.direct)];
  expect(withoutOwn(http)).toEqual(withoutOwn(direct));
  expect(http.filter((each) => typeof each === "string")).toEqual([
    "Another workspace has this id. Leave it out for a new one.",
    "Name a workspace by the header x-workspace-id.",
    "There is no such workspace.",
    "This time has passed. Give a later one, or none.",
    "There is no API key in this workspace.",
    "There is no API key in this workspace.",
    "This key has ended. Make a new one.",
  ]);
  expect(direct.at(-1)).toMatchObject([
    { workspace: null, roles: ["WORKER"], jobKinds: null, createdBy: "operator", revokedAt: null },
    { workspace: { workspaceId: WORKSPACE, name: "one" }, roles: ["ADMIN", "VIEWER"], jobKinds: ["DOC_EDIT"] },
  ]);
}, 300_000);

test.each(["http", "direct"] as const)(
  "a list is read to its end, page by page: %s",
  async (way) => {
    const cli = ways[way]();
    const before = (await cli.listKeys()).map(({ apiKeyId }) => apiKeyId);
    const making = Array.from({ length: PAGE_ROWS + 10 }, () => cli.createKey({ ...aKey, allWorkspaces: true }));
    const made = (await Promise.all(making)).map(({ apiKey }) => apiKey.apiKeyId);
    expect((await cli.listKeys()).map(({ apiKeyId }) => apiKeyId)).toEqual(
      [...before, ...made].toSorted().toReversed(),
    );
  },
  300_000,
);
