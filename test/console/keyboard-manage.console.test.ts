import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type GuardedConsole, Keyboard, openGuardedConsole } from "./keyboard.ts";

/** What is done about keys, workspaces, quotas and usage, by the keyboard alone: no test here has a mouse. */

let app: GuardedConsole;
let page: Page;
let keyboard: Keyboard;
beforeAll(async () => {
  app = await openGuardedConsole();
  page = await app.open();
  await new Keyboard(page).signIn();
  await page.close();
});
afterAll(async () => {
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

test("a quota is set and deleted", async () => {
  await keyboard.go("Quotas");
  await page.getByRole("heading", { level: 1, name: "Quotas" }).waitFor();
  await keyboard.go("Set a quota…");
  await keyboard.focus(/^At most/);
  await keyboard.type("25");
  await keyboard.go(/^Set/);
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await keyboard.go(/^Delete /);
  await page.getByRole("dialog").waitFor();
  await keyboard.go(/^Delete/);
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("button", { name: /^Delete / }).waitFor({ state: "detached" });
});

test("a key is made, shown once, and revoked", async () => {
  await keyboard.go("Keys and workspaces");
  await page.getByRole("button", { name: "Make a key…" }).waitFor();
  await keyboard.go("Make a key…");
  await keyboard.type("of the keyboard");
  await keyboard.focus(/VIEWER|Viewer/);
  await keyboard.press("Space");
  await keyboard.go(/^Make/);
  await page.getByText(/ajs_[0-9A-Za-z]{49}/).waitFor();
  await keyboard.go(/^I have/);
  await page.getByText(/ajs_[0-9A-Za-z]{49}/).waitFor({ state: "detached" });
  await keyboard.go("Revoke of the keyboard");
  await page.getByRole("dialog").waitFor();
  await keyboard.go(/^Revoke/);
  await page.getByRole("row", { name: /of the keyboard.*revoked/i }).waitFor();
});

test("a workspace is made and renamed, and what usage is counted by is changed", async () => {
  await keyboard.go("Keys and workspaces");
  await page.getByRole("button", { name: "Make a workspace…" }).waitFor();
  await keyboard.go("Make a workspace…");
  await keyboard.type("Second");
  await keyboard.go("Make it");
  await page.getByRole("button", { name: "Change Second" }).waitFor();
  await keyboard.go("Change Second");
  await keyboard.press("Control+A");
  await keyboard.type("Renamed");
  await keyboard.go("Change it");
  await page.getByRole("button", { name: "Change Renamed" }).waitFor();
  await keyboard.go("Change…");
  await keyboard.type("team");
  await keyboard.go("Count by these");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("listitem").filter({ hasText: "team" }).waitFor();
});

test("a key gets a new secret", async () => {
  await keyboard.go("Keys and workspaces");
  await page.getByRole("button", { name: "Make a key…" }).waitFor();
  await keyboard.go("Make a key…");
  await keyboard.type("to rotate");
  await keyboard.focus(/Viewer/);
  await keyboard.press("Space");
  await keyboard.go("Make it");
  const secret = page.getByText(/ajs_[0-9A-Za-z]{49}/);
  const first = await secret.textContent();
  await keyboard.go("I have it");
  await keyboard.go("Rotate to rotate");
  await keyboard.go("Rotate it");
  await secret.waitFor();
  expect(await secret.textContent()).not.toBe(first);
  await keyboard.go("I have it");
});

test("usage is grouped, and saved as a table", async () => {
  const { jobId } = await app.client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "=1+1" });
  await app.client.cancel(jobId, "to be counted");
  await keyboard.go("Usage");
  await page.getByRole("heading", { level: 1, name: "Usage" }).waitFor();
  await keyboard.focus("Group by");
  await keyboard.type("Protocol");
  await page
    .getByRole("rowheader", { name: "=1+1" })
    .or(page.getByRole("cell", { name: "=1+1" }))
    .first()
    .waitFor();
  const download = page.waitForEvent("download");
  await keyboard.go("Download as CSV");
  const table = await readFile(await (await download).path(), "utf8");
  expect(table.split("\r\n")[0]).toContain("costMicros");
  expect(table).toContain(",'=1+1,");
});

test("the theme is chosen, another workspace looked for, and the session ended", async () => {
  await keyboard.go("Theme: auto");
  await keyboard.go("Theme: light");
  await keyboard.go("Theme: dark");
  await keyboard.go("Other workspace");
  await page.getByRole("heading", { name: "Which workspace?" }).waitFor();
  await keyboard.go("Sign out");
  await page.getByLabel("Your key").waitFor();
});
