import { AiJobStats, createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, type Worker } from "@ai-job-server/sdk/worker";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { type Console, openConsole } from "./console.ts";

/** Every action, by the keyboard alone: no test here has a mouse. */

const OPERATOR_KEY = "the-operator's-key-of-more-than-32-characters";
const WORKSPACE = "01a22d6e-0f4b-7c11-8a55-0c1e2d3f4a5b";

let app: Console;
let client: JobClient;
let worker: Worker;
let ended: Promise<void>;
let page: Page;
beforeAll(async () => {
  app = await openConsole({ OPERATOR_KEY });
  const connection = { url: app.server.url, key: OPERATOR_KEY, workspaceId: WORKSPACE };
  client = createClient(connection);
  await createClient({ url: app.server.url, key: OPERATOR_KEY }).request(
    `mutation ($input: CreateWorkspaceInput!) { createWorkspace(input: $input) { __typename } }`,
    { input: { name: "Keyboard", workspaceId: WORKSPACE } },
  );
  worker = createWorker({ ...connection, concurrency: 4 });
  worker.handle("DOC_EDIT", async (_job, ctx) => {
    const answer = await ctx.ask("How many copies?", { schema: z.object({ copies: z.int() }) });
    return { outputs: answer };
  });
  worker.handle("DOC_SUMMARIZE", () => {
    throw new Error("The model is away.");
  });
  ended = worker.run();
  // Signed in once, by the keyboard as well.
  page = await app.open();
  await page.getByLabel("Your key").waitFor();
  await page.keyboard.type(OPERATOR_KEY);
  await page.keyboard.press("Enter");
  await go("Keyboard");
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  await page.close();
});
afterAll(async () => {
  worker.stop();
  await ended;
  await app.close();
});
beforeEach(async () => {
  page = await app.open();
  // A page of its own has a session storage of its own: the workspace is chosen anew.
  await go("Keyboard");
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
});
afterEach(async () => {
  await page.close();
  app.assertClean();
});

/** Goes on with Tab until something of this name has the focus. */
async function focus(name: string | RegExp): Promise<void> {
  const isWanted = (text: string) => (typeof name === "string" ? text === name : name.test(text));
  for (let steps = 0; steps < 200; steps += 1) {
    await page.keyboard.press("Tab");
    if (isWanted(await focusedName())) return;
  }
  throw new Error(`Nothing named ${String(name)} gets the focus.`);
}

/** The name of what has the focus, as a screen reader says it. */
async function focusedName(): Promise<string> {
  return page.evaluate(`(() => {
    const element = document.activeElement;
    const byId = (element?.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    return (element?.getAttribute("aria-label") ?? (byId || element?.labels?.[0]?.textContent || element?.textContent) ?? "").trim();
  })()`);
}

/** Goes to something, and presses it. */
async function go(name: string | RegExp): Promise<void> {
  await focus(name);
  await page.keyboard.press("Enter");
}

const stateOf = async (jobId: string) => (await client.job(jobId))?.state;

test("a job is submitted", async () => {
  await go("Submit a job");
  await page.getByRole("heading", { level: 1, name: "Submit a job" }).waitFor();
  await focus(/^Protocol/);
  await page.keyboard.type("by-keyboard");
  await focus(/^Inputs/);
  await page.keyboard.type('{ "pages": 3 }');
  await go("Submit");
  await page.getByText(/Verified in this browser/).waitFor();
});

test("a job is cancelled, with a reason", async () => {
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-cancel" });
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Cancel…" }).waitFor();
  await go("Cancel…");
  await page.keyboard.type("not needed");
  await go("Cancel it");
  await page.locator(".title .state", { hasText: "Cancelled" }).waitFor();
  expect(await stateOf(jobId)).toBe("CANCELLED");
});

test("Escape leaves a dialog without doing anything, and the focus goes back", async () => {
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-leave" });
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Cancel…" }).waitFor();
  await go("Cancel…");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await expect.poll(focusedName).toBe("Cancel…");
  expect(await stateOf(jobId)).toBe("QUEUED");
});

test("a job that has failed is tried again", async () => {
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "to-retry", maxAttempts: 1 });
  await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("FAILED");
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Retry" }).waitFor();
  await go("Retry");
  await expect.poll(async () => (await client.job(jobId))?.attempt, { timeout: 20_000 }).toBe(2);
});

test("all that match are cancelled, after a look at how many and which", async () => {
  const labels = [{ key: "batch", value: "keyboard" }];
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "of-many", labels });
  await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "of-many", labels });
  await focus(/^Search/);
  await page.keyboard.type("batch=keyboard");
  await page.keyboard.press("Enter");
  await page.getByText("label: batch=keyboard").waitFor();
  await go("Cancel all…");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("2 jobs, submitted before").waitFor();
  await dialog.getByText(jobId).waitFor();
  await focus(/^Why/);
  await page.keyboard.type("the batch was a mistake");
  await go("Cancel 2");
  await dialog.getByText("The server has taken 2 jobs").waitFor();
  await go("See what becomes of each");
  await page.getByRole("cell", { name: "the batch was a mistake" }).waitFor();
  await page.getByRole("cell", { name: "finished" }).waitFor();
  const { aiJobStats } = await client.request(AiJobStats, { filter: { labels, states: ["CANCELLED"] } });
  expect(aiJobStats.total).toBe(2);
});

test("a question is answered in the inbox, and the next one is there", async () => {
  const first = await client.submit({ jobKind: "DOC_EDIT", protocolId: "asks-first" });
  await expect.poll(() => stateOf(first.jobId), { timeout: 20_000 }).toBe("AWAITING_USER");
  const second = await client.submit({ jobKind: "DOC_EDIT", protocolId: "asks-second" });
  await expect.poll(() => stateOf(second.jobId), { timeout: 20_000 }).toBe("AWAITING_USER");
  await go(/^Inbox/);
  const asked = page.getByRole("region", { name: "Decision" });
  await asked.getByText("asks-first").waitFor();
  // Through the list by its arrow keys, and back to the oldest.
  await page.getByRole("option").nth(1).waitFor();
  await focus(/How many copies/);
  await page.keyboard.press("ArrowDown");
  await asked.getByText("asks-second").waitFor();
  await page.keyboard.press("ArrowUp");
  await asked.getByText("asks-first").waitFor();
  await focus("copies");
  await page.keyboard.type("3");
  await page.keyboard.press("Enter");
  await asked.getByText("asks-second").waitFor();
  await expect
    .poll(async () => (await client.job(first.jobId))?.jobOutputs, { timeout: 20_000 })
    .toEqual({ copies: 3 });
});

test("of two people the second is told who was first", async () => {
  const { jobId } = await client.submit({ jobKind: "DOC_EDIT", protocolId: "asked-twice" });
  await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("AWAITING_USER");
  await page.goto(new URL(`/inbox?job=${jobId}`, app.server.url).href);
  await page.getByLabel("copies").waitFor();
  await client.answer(jobId, { copies: 7 });
  await page.getByText("operator was first", { exact: false }).waitFor();
});

test("a quota is set and deleted", async () => {
  await go("Quotas");
  await page.getByRole("heading", { level: 1, name: "Quotas" }).waitFor();
  await go("Set a quota…");
  await focus(/^At most/);
  await page.keyboard.type("25");
  await go(/^Set/);
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await go(/^Delete /);
  await page.getByRole("dialog").waitFor();
  await go(/^Delete/);
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("button", { name: /^Delete / }).waitFor({ state: "detached" });
});

test("a key is made, shown once, and revoked", async () => {
  await go("Keys and workspaces");
  await page.getByRole("button", { name: "Make a key…" }).waitFor();
  await go("Make a key…");
  await page.keyboard.type("of the keyboard");
  await focus(/VIEWER|Viewer/);
  await page.keyboard.press("Space");
  await go(/^Make/);
  await page.getByText(/ajs_[0-9A-Za-z]{49}/).waitFor();
  await go(/^I have/);
  await page.getByText(/ajs_[0-9A-Za-z]{49}/).waitFor({ state: "detached" });
  await go("Revoke of the keyboard");
  await page.getByRole("dialog").waitFor();
  await go(/^Revoke/);
  await page.getByRole("row", { name: /of the keyboard.*revoked/i }).waitFor();
});
