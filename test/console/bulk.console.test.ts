import { BulkActions, createClient } from "@ai-job-server/sdk/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assertAccessible, type Console, openConsole } from "./console.ts";

/** One action on more jobs than a request processes before it answers. */

const MANY = 1200;
const AT_ONCE = 100;

let app: Console;
beforeAll(async () => {
  app = await openConsole();
});
afterAll(async () => {
  await app.close();
});

test("many that match are one action, which the server finishes while somebody looks", async () => {
  const client = createClient({ url: app.server.url });
  const job = { jobKind: "TERMINAL_EXEC", protocolId: "a-mistake" } as const;
  for (let count = 0; count < MANY; count += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => client.submit(job)));
  }
  const page = await app.open("/?protocol=a-mistake");
  await page.getByRole("button", { name: "Cancel all…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("1,200 jobs, submitted before").waitFor();
  await dialog.getByText("and 1,180 more, oldest first").waitFor();
  await dialog.getByLabel("Why (required)").fill("all of it was a mistake");
  await dialog.getByRole("button", { name: "Cancel 1,200" }).click();
  await dialog.getByText("The server has taken 1,200 jobs").waitFor();
  await assertAccessible(page);
  await dialog.getByText("Finished: 1,200 cancelled").waitFor({ timeout: 30_000 });
  const { bulkActions } = await client.request(BulkActions, { first: 1 });
  expect(bulkActions.nodes).toMatchObject([{ total: MANY, succeeded: MANY, failed: 0 }]);

  await dialog.getByRole("link", { name: "See what becomes of each" }).click();
  // That action's jobs are there, with what they are now.
  const jobs = page.getByRole("region", { name: "Its jobs" }).getByRole("listitem");
  await expect.poll(() => jobs.count()).toBe(100);
  await jobs.first().getByText("Cancelled").waitFor();
  await jobs.first().getByText("a-mistake").waitFor();
  const row = page.getByRole("row", { name: /all of it was a mistake/ });
  const button = row.getByRole("button", { name: "Jobs of the action" });
  await button.click();
  await expect.poll(() => jobs.count()).toBe(0);
  await button.click();
  await page.getByRole("button", { name: "More jobs" }).click();
  await expect.poll(() => jobs.count()).toBe(200);
  await page.getByText("Only what was not done").click();
  await page.getByText("None.").waitFor();
  await assertAccessible(page);
  await page.close();
  app.assertClean();
});
