import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateApiKey,
  CreateWorkspace,
  createClient,
  type JobClient,
  RevokeApiKey,
  type Role,
  successOf,
} from "@ai-job-server/sdk/client";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { assertAccessibleEverywhere, type Console, openConsole } from "./console.ts";

/** Who uses the console: what a key does not allow is not shown, and says why where it is asked for. */

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";
const WORKSPACE = "01a22d6e-0f4b-7c11-8a55-0c1e2d3f4a5b";

let app: Console;
let client: JobClient;
let jobId: string;
beforeAll(async () => {
  app = await openConsole({ OPERATOR_KEY });
  await createClient({ url: app.server.url, key: OPERATOR_KEY }).request(
    `mutation ($input: CreateWorkspaceInput!) { createWorkspace(input: $input) { __typename } }`,
    { input: { name: "مساحة العمل", workspaceId: WORKSPACE } },
  );
  client = createClient({ url: app.server.url, key: OPERATOR_KEY, workspaceId: WORKSPACE });
  jobId = (await client.submit({ jobKind: "DOC_EDIT", protocolId: "of-somebody" })).jobId;
});
afterAll(async () => {
  await app.close();
});
beforeEach(async () => {
  await app.context.clearCookies();
});

async function keyOf(...roles: Role[]) {
  const made = await client.request(CreateApiKey, { input: { name: roles.join(" "), roles } });
  return successOf(made.createApiKey);
}

async function signIn(key: string, path = "/") {
  const page = await app.open(path);
  await page.getByLabel("Your key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  return page;
}

test("a wrong key is refused with a sentence, and the field is there for another", async () => {
  const page = await signIn("ajs_wrong");
  await page.getByText("The server knows no such key").waitFor();
  await assertAccessibleEverywhere(page);
  const { secret } = await keyOf("VIEWER");
  await page.getByLabel("Your key").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  await page.close();
});

test("the key is nowhere in the page, its address, or what it keeps; the session is in a cookie that no script reads", async () => {
  const { secret } = await keyOf("VIEWER");
  const page = await signIn(secret);
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  const kept = await page.evaluate(
    "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])",
  );
  expect(kept).not.toContain(secret);
  expect(await page.content()).not.toContain(secret);
  expect((await app.context.cookies()).map(({ httpOnly, sameSite }) => ({ httpOnly, sameSite }))).toEqual([
    { httpOnly: true, sameSite: "Strict" },
  ]);
  await page.close();
});

test("a viewer sees jobs, and no button that it may not press", async () => {
  const { secret } = await keyOf("VIEWER");
  const page = await signIn(secret, `jobs/${jobId}`);
  await page.getByText(/Verified in this browser/).waitFor();
  // By the name that people gave the key; what the record calls it, too.
  await page.getByTitle(/^key:/).getByText("VIEWER").waitFor();
  expect(await page.getByRole("button", { name: /Cancel|Retry/ }).count()).toBe(0);
  expect(await page.getByRole("link", { name: /Submit|Keys/ }).count()).toBe(0);
  // Asked for by its address, a view says why it is not there.
  await page.goto(new URL("/submit", app.server.url).href);
  await page.getByText("JOBS_SUBMIT").waitFor();
  await page.goto(new URL("/keys", app.server.url).href);
  await page.getByText("KEYS_MANAGE").first().waitFor();
  await assertAccessibleEverywhere(page);
  await page.close();
});

test("a worker's key sees no jobs at all, and is told so", async () => {
  const { secret } = await keyOf("WORKER");
  const page = await signIn(secret);
  await page.getByText("JOBS_READ").first().waitFor();
  await page.close();
});

test("a key that is revoked ends the page, which asks for another one", async () => {
  const { secret, apiKey } = await keyOf("VIEWER");
  const page = await signIn(secret);
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  await client.request(RevokeApiKey, { input: { apiKeyId: apiKey.apiKeyId, includeDescendants: false } });
  await page.getByLabel("Your key").waitFor();
  await page.close();
});

test("who belongs to the deployment chooses a workspace, and can choose another; signing out ends it", async () => {
  const page = await signIn(OPERATOR_KEY);
  await page.getByRole("heading", { name: "Which workspace?" }).waitFor();
  await assertAccessibleEverywhere(page);
  await page.getByRole("button", { name: "مساحة العمل" }).click();
  await page.getByText("of-somebody").waitFor();
  await page.getByRole("button", { name: "Other workspace" }).click();
  await page.getByRole("heading", { name: "Which workspace?" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Your key").waitFor();
  expect((await app.context.cookies()).length).toBe(0);
  await page.close();
});

test("on a server that executes trusted documents alone a viewer sees what it sees elsewhere", async () => {
  const folder = await mkdtemp(join(tmpdir(), "trusted-documents-"));
  const manifest = join(folder, "documents.json");
  await writeFile(manifest, JSON.stringify({ abc: "query OfAnotherClient { aiJobs { totalCount } }" }));
  const strict = await openConsole({ OPERATOR_KEY, TRUSTED_DOCUMENTS: manifest });
  try {
    const operator = createClient({ url: strict.server.url, key: OPERATOR_KEY });
    const { workspace } = successOf(
      (await operator.request(CreateWorkspace, { input: { name: "Strict" } })).createWorkspace,
    );
    const inside = createClient({ url: strict.server.url, key: OPERATOR_KEY, workspaceId: workspace.workspaceId });
    await inside.submit({ jobKind: "DOC_EDIT", protocolId: "to-look-at" });
    const made = await inside.request(CreateApiKey, { input: { name: "viewer", roles: ["VIEWER"] } });
    const page = await strict.open();
    await page.getByLabel("Your key").fill(successOf(made.createApiKey).secret);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("row").nth(1).getByRole("link").click();
    await page.getByText(/Verified in this browser/).waitFor();
    for (const view of ["Inbox", "Workers", "Usage", "Bulk actions", "Quotas", "Jobs"]) {
      await page.getByRole("link", { name: view }).first().click();
      await page.getByRole("heading", { level: 1, name: view }).waitFor();
    }
    expect(await page.getByRole("alert").count()).toBe(0);
    strict.assertClean();
  } finally {
    await strict.close();
    await rm(folder, { recursive: true });
  }
});
