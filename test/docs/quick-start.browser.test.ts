import { expect, test } from "vitest";
import { openBrowser } from "../support/browser.ts";
import { freePort } from "../support/shells.ts";
import { follow } from "./quick-start.ts";

/** The quick start of a page, in a real browser. */

test("a page that shows jobs live", { timeout: 300_000 }, async () => {
  const pagePort = await freePort();
  const browser = await openBrowser();
  const whileRunning = async () => {
    const page = await browser.context.newPage();
    await page.goto(`http://127.0.0.1:${pagePort}/`);
    const items = page.locator("li");
    // Forty, and the children of four of them.
    await expect.poll(() => items.count(), { timeout: 30_000 }).toBe(48);
    expect(await items.allTextContents()).toContain("DOC_SUMMARIZE POISONED ");
    await page.locator("button").click();
    await expect.poll(() => items.allTextContents(), { timeout: 30_000 }).toContain("DOC_SUMMARIZE QUEUED ");
  };
  try {
    const { code, stdout, stderr } = await follow("frontend", { pagePort, whileRunning });
    expect({ code, said: code === 0 ? "" : stderr }).toEqual({ code: 0, said: "" });
    expect(stdout).toContain("Done");
  } finally {
    await browser.close();
  }
});
