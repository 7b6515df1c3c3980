import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { openBrowser, type TestBrowser } from "../support/browser.ts";
import { RESEARCH_LIMIT_MS, startResearch, sumOf, usageRows } from "./research-process.ts";

/** The page of the research agent in a real browser, from its first word to the end. */

const SOON = { timeout: RESEARCH_LIMIT_MS, interval: 100 };

let browser: TestBrowser;
beforeAll(async () => {
  browser = await openBrowser();
}, 180_000);
afterAll(() => browser.close());

async function cells(page: Page, selector: string): Promise<readonly string[]> {
  const script = `Array.from(document.querySelectorAll(${JSON.stringify(selector)}), (cell) => cell.textContent)`;
  return z.array(z.string()).parse(await page.evaluate(script));
}

test(
  "the page shows the partial output as it grows, the state, and a usage that adds up",
  async () => {
    const research = startResearch(["--stay"]);
    const [, address = ""] = await research.line(/^The page of the research: (\S+)$/);
    const page = await browser.context.newPage();
    const errors: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(error.message));
    // Every text that the output had, and every state.
    await page.addInitScript(`
    window.texts = [];
    window.states = [];
    new MutationObserver(() => {
      const [text, state] = ["output", "state"].map((id) => document.getElementById(id)?.textContent ?? "");
      if (window.texts.at(-1) !== text) window.texts.push(text);
      if (window.states.at(-1) !== state) window.states.push(state);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  `);
    // It has waited for the page.
    expect(research.lines).toHaveLength(1);
    const response = await page.goto(address);
    expect(response?.headers()["content-security-policy"]).toContain("default-src 'none'");

    await research.line(/^Each model call was made once/);
    await vi.waitUntil(async () => (await cells(page, "#state"))[0] === "COMPLETED", SOON);
    const texts = z.array(z.string()).parse(await page.evaluate("window.texts"));
    const report = "This is what our documents say.";
    const drafts = texts.filter((text) => text.startsWith("This is"));
    // It grew by words, and not at one stroke.
    expect(drafts.length).toBeGreaterThan(3);
    expect(drafts[0]?.length).toBeLessThan((drafts.at(-1) ?? "").length / 2);
    expect(drafts.at(-1)).toContain(report);
    expect(drafts.at(-1)).toContain("Here is the report that you asked for.");
    expect(await page.evaluate("window.states")).toEqual(
      expect.arrayContaining(["QUEUED, waits for CHILDREN", "RUNNING"]),
    );

    const all = usageRows(research.lines).at(-1)?.counts;
    await vi.waitUntil(async () => Number((await cells(page, "#all td"))[3]) === all?.[0], SOON);
    const numbers = async (selector: string) => (await cells(page, selector)).map(Number);
    const shown = (await numbers("#all td")).slice(3);
    const rows = await Promise.all(
      [1, 2, 3, 4].map(async (row) => (await numbers(`#usage tr:nth-child(${row}) td`)).slice(3)),
    );
    expect(shown).toEqual(all);
    expect(sumOf(rows)).toEqual(all);

    expect(errors).toEqual([]);
    await page.close();
    research.interrupt();
    expect((await research.ended).code).toBe(0);
  },
  RESEARCH_LIMIT_MS,
);
