import { AiJobStats, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker, type Worker } from "@ai-job-server/sdk/worker";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { type GuardedConsole, Keyboard, openGuardedConsole } from "./keyboard.ts";

/** What is done about jobs, by the keyboard alone: no test here has a mouse. */

let app: GuardedConsole;
let client: JobClient;
let worker: Worker;
let ended: Promise<void>;
let page: Page;
let keyboard: Keyboard;
beforeAll(async () => {
  app = await openGuardedConsole();
  ({ client } = app);
  worker = createWorker({ ...app.connection, concurrency: 4 });
  worker.handle("DOC_EDIT", async (_job, ctx) => {
    const answer = await ctx.ask("How many copies?", { schema: z.object({ copies: z.int() }) });
    return { outputs: answer };
  });
  worker.handle("DOC_SUMMARIZE", () => {
    throw new Error("The model is away.");
  });
  worker.handle("SHEET_TRANSFORM", (_job, { reviewComment }) =>
    Promise.resolve({ outputs: { rows: 3, reviewComment }, needsValidation: true }),
  );
  ended = worker.run();
  page = await app.open();
  await new Keyboard(page).signIn();
  await page.close();
});
afterAll(async () => {
  worker.stop();
  await ended;
  await app.close();
});
beforeEach(async () => {
  page = await app.open();
  keyboard = new Keyboard(page);
  await keyboard.enter();
});
afterEach(async () => {
  await page.close();
  app.assertClean();
});

const stateOf = async (jobId: string) => (await client.job(jobId))?.state;

test("a job is submitted", async () => {
  await keyboard.go("Submit a job");
  await page.getByRole("heading", { level: 1, name: "Submit a job" }).waitFor();
  await keyboard.focus(/^Protocol/);
  await keyboard.type("by-keyboard");
  await keyboard.focus(/^Inputs/);
  await keyboard.type('{ "pages": 3 }');
  await keyboard.go("Submit");
  await page.getByText(/Verified in this browser/).waitFor();
});

test("a form with a fault leads to it, whoever has found it", async () => {
  await keyboard.go("Submit a job");
  await page.getByRole("heading", { level: 1, name: "Submit a job" }).waitFor();
  await keyboard.focus(/^Protocol/);
  await keyboard.type("with-faults");
  await keyboard.focus(/^Inputs/);
  await keyboard.type('{ "title": }');
  await keyboard.go("Submit");
  await page.getByRole("alert").getByText("Not submitted. Look at “Inputs”.").waitFor();
  await expect.poll(() => keyboard.focusedName()).toBe("Inputs");
  // What is repaired is sent; now the server finds something else.
  await keyboard.press("Control+A");
  await keyboard.type("{}");
  await keyboard.focus(/^Attempts/);
  await keyboard.press("Control+A");
  await keyboard.type("101");
  await keyboard.go("Submit");
  await page.getByRole("alert").getByText("Not submitted. Look at “Attempts at most”.").waitFor();
  await expect.poll(() => keyboard.focusedName()).toBe("Attempts at most");
});

test("a job is cancelled, with a reason", async () => {
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-cancel" });
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Cancel…" }).waitFor();
  await keyboard.go("Cancel…");
  await keyboard.type("not needed");
  await keyboard.go("Cancel it");
  await page.locator(".title .state", { hasText: "Cancelled" }).waitFor();
  expect(await stateOf(jobId)).toBe("CANCELLED");
});

test("Escape leaves a dialog without doing anything, and the focus goes back", async () => {
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-leave" });
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Cancel…" }).waitFor();
  await keyboard.go("Cancel…");
  await page.getByRole("dialog").waitFor();
  await keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await expect.poll(() => keyboard.focusedName()).toBe("Cancel…");
  expect(await stateOf(jobId)).toBe("QUEUED");
});

test("to cancel all begins with the reason, and Escape leads back to the button", async () => {
  await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-leave" });
  await page.getByText("to-leave").first().waitFor();
  await keyboard.go("Cancel all…");
  await page.getByRole("dialog", { name: "Cancel all jobs" }).waitFor();
  await expect.poll(() => keyboard.focusedName()).toMatch(/^Why/);
  await keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await expect.poll(() => keyboard.focusedName()).toBe("Cancel all…");
});

test("the frame of the link that skips the views is whole", async () => {
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  await keyboard.focus("To the content");
  const { x = 0, y = 0 } = (await page.locator(".skip").boundingBox()) ?? {};
  expect(Math.min(x, y)).toBeGreaterThanOrEqual(5);
});

test("who does not want to go through the menu goes to the content, and stays where it is", async () => {
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-skip-to" });
  const path = `/jobs/${jobId}`;
  await page.goto(new URL(path, app.server.url).href);
  await page.getByText(/Verified in this browser/).waitFor();
  await keyboard.go("To the content");
  expect(new URL(page.url()).pathname).toBe(path);
  expect(await page.evaluate("document.activeElement.id")).toBe("main");
});

test("a job that has failed is tried again", async () => {
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "to-retry", maxAttempts: 1 });
  await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("FAILED");
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Retry" }).waitFor();
  await keyboard.go("Retry");
  await expect.poll(async () => (await client.job(jobId))?.attempt, { timeout: 20_000 }).toBe(2);
});

test("all that match are cancelled, after a look at how many and which", async () => {
  const labels = [{ key: "batch", value: "keyboard" }];
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "of-many", labels });
  await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "of-many", labels });
  await keyboard.focus(/^Search/);
  await keyboard.type("batch=keyboard");
  await keyboard.press("Enter");
  await page.getByText("Label: batch=keyboard").waitFor();
  await keyboard.go("Cancel all…");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("2 jobs, submitted before").waitFor();
  await dialog.getByText(jobId).waitFor();
  await keyboard.focus(/^Why/);
  await keyboard.type("the batch was a mistake");
  await keyboard.go("Cancel 2");
  await dialog.getByText("The server has taken 2 jobs").waitFor();
  await keyboard.go("See what becomes of each");
  await page.getByRole("cell", { name: "the batch was a mistake" }).waitFor();
  await page.getByRole("cell", { name: "Finished" }).waitFor();
  const { aiJobStats } = await client.request(AiJobStats, { filter: { labels, states: ["CANCELLED"] } });
  expect(aiJobStats.total).toBe(2);
});

test("a question is answered in the inbox, and the next one is there", async () => {
  const first = await client.submit({ jobKind: "DOC_EDIT", protocolId: "asks-first" });
  await expect.poll(() => stateOf(first.jobId), { timeout: 20_000 }).toBe("AWAITING_USER");
  const second = await client.submit({ jobKind: "DOC_EDIT", protocolId: "asks-second" });
  await expect.poll(() => stateOf(second.jobId), { timeout: 20_000 }).toBe("AWAITING_USER");
  await keyboard.go(/^Inbox/);
  const asked = page.getByRole("region", { name: "Decision" });
  await asked.getByText("asks-first").waitFor();
  // Through the list by its arrow keys, and back to the oldest.
  await page.getByRole("option").nth(1).waitFor();
  await keyboard.focus(/How many copies/);
  await keyboard.press("ArrowDown");
  await asked.getByText("asks-second").waitFor();
  await keyboard.press("ArrowUp");
  await asked.getByText("asks-first").waitFor();
  await keyboard.focus("copies");
  await keyboard.type("3");
  await keyboard.press("Enter");
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

test("another job like one that is there is submitted, with what is changed in it", async () => {
  const jobInputs = { pages: 7 };
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-repeat", jobInputs, priority: 1 });
  await page.goto(new URL(`/jobs/${jobId}`, app.server.url).href);
  await page.getByRole("link", { name: "Submit another like it" }).waitFor();
  await keyboard.go("Submit another like it");
  await keyboard.focus(/^Priority/);
  await keyboard.press("Control+A");
  await keyboard.type("5");
  await keyboard.go("Submit");
  await page.getByText(/Verified in this browser/).waitFor();
  const [, again = ""] = /\/jobs\/(.+)/.exec(page.url()) ?? [];
  expect(again).not.toBe(jobId);
  expect(await client.job(again)).toMatchObject({ protocolId: "to-repeat", jobInputs, priority: 5 });
});

test("outputs are looked at by somebody, sent back with a comment, and valid the second time", async () => {
  const { jobId } = await client.submit({ jobKind: "SHEET_TRANSFORM", protocolId: "to-decide" });
  const isIn = async (state: string) => {
    await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe(state);
  };
  await isIn("AWAITING_VALIDATION");
  const inbox = new URL(`/inbox?job=${jobId}`, app.server.url).href;
  await page.goto(inbox);
  await page.getByRole("button", { name: "Somebody should look" }).waitFor();
  await keyboard.go("Somebody should look");
  await isIn("AWAITING_USER");
  await page.goto(inbox);
  await page.getByRole("button", { name: "Send back" }).waitFor();
  await keyboard.focus("Comment");
  await keyboard.type("Two rows lack a date.");
  await keyboard.go("Send back");
  // Done again, with what was said, it waits for a validator again.
  await isIn("AWAITING_VALIDATION");
  expect(await client.job(jobId)).toMatchObject({ jobOutputs: { rows: 3, reviewComment: "Two rows lack a date." } });
  await page.goto(inbox);
  await page.getByRole("button", { name: "Valid", exact: true }).waitFor();
  await keyboard.go("Valid");
  await isIn("COMPLETED");
});

test("outputs that somebody looks at are accepted; a job that is not wanted any more is cancelled", async () => {
  for (const [button, state] of [
    ["Accept", "COMPLETED"],
    ["Accept with issues", "COMPLETED_WITH_ISSUES"],
    ["Cancel the job", "CANCELLED"],
  ] as const) {
    const { jobId } = await client.submit({ jobKind: "SHEET_TRANSFORM", protocolId: "to-accept" });
    await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("AWAITING_VALIDATION");
    await page.goto(new URL(`/inbox?job=${jobId}`, app.server.url).href);
    await page.getByRole("button", { name: "Somebody should look" }).waitFor();
    await keyboard.go("Somebody should look");
    await expect.poll(() => stateOf(jobId)).toBe("AWAITING_USER");
    await page.goto(new URL(`/inbox?job=${jobId}`, app.server.url).href);
    await page.getByRole("button", { name: button, exact: true }).waitFor();
    await keyboard.go(button);
    await expect.poll(() => stateOf(jobId)).toBe(state);
  }
});

test("outputs that are not valid fail the job", async () => {
  const { jobId } = await client.submit({ jobKind: "SHEET_TRANSFORM", protocolId: "to-reject", maxAttempts: 1 });
  await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("AWAITING_VALIDATION");
  await page.goto(new URL(`/inbox?job=${jobId}`, app.server.url).href);
  await page.getByRole("button", { name: "Not valid" }).waitFor();
  await keyboard.go("Not valid");
  await expect.poll(() => stateOf(jobId)).toBe("FAILED");
});

test("all that have failed are tried again", async () => {
  const labels = [{ key: "batch", value: "to-retry" }];
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "of-some", labels, maxAttempts: 1 });
  await expect.poll(() => stateOf(jobId), { timeout: 20_000 }).toBe("FAILED");
  await page.goto(new URL("/?label=batch%3Dto-retry", app.server.url).href);
  await page.getByText("of-some").waitFor();
  await keyboard.go("Retry all…");
  await page.getByRole("dialog").getByText("1 job, submitted before").waitFor();
  await keyboard.go("Retry 1");
  await page.getByRole("dialog").getByText("The server has taken 1 job").waitFor();
  await keyboard.go("Close");
  await expect.poll(async () => (await client.job(jobId))?.attempt, { timeout: 20_000 }).toBe(2);
});

test("the list is paused, goes on, and is of another state and in another order", async () => {
  await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-list" });
  await page.getByText("to-list").first().waitFor();
  await keyboard.go("Pause updates");
  await page.getByRole("button", { name: "Resume updates" }).waitFor();
  await keyboard.go("Resume updates");
  await page.getByRole("button", { name: "Pause updates" }).waitFor();
  await keyboard.go(/Queued/);
  await page.getByText("State: Queued").waitFor();
  await keyboard.focus("Order");
  await keyboard.press("ArrowDown");
  await expect.poll(() => new URL(page.url()).search).toBe("?state=QUEUED&order=oldest");
  await keyboard.go("Clear all");
  await expect.poll(() => new URL(page.url()).search).toBe("");
});
