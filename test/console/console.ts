import axe from "axe-core";
import type { BrowserContext, Page } from "playwright-core";
import { expect } from "vitest";
import { z } from "zod";
import { createTestServer, type TestServer } from "../../src/testing.ts";
import { openBrowser } from "../support/browser.ts";
import { openTestDatabase } from "../support/database.ts";

/** The console in a real browser, on a real server. */

export interface Console {
  readonly server: TestServer;
  readonly context: BrowserContext;
  /** Opens a view, in a page of its own. */
  open(path?: string): Promise<Page>;
  /** @throws where a page has had an error, or has asked another host for something. */
  assertClean(): void;
  close(): Promise<void>;
}

/** Starts a server on the store of this project, and a browser. */
export async function openConsole(settings: Readonly<Record<string, string>> = {}): Promise<Console> {
  const database = process.env.TEST_STORE === "postgres" ? await openTestDatabase() : undefined;
  const server = await createTestServer({ ...database?.env, ...settings });
  const browser = await openBrowser({ locale: "en-GB", timezoneId: "Europe/Berlin" });
  const faults: string[] = [];
  return {
    server,
    context: browser.context,
    open: async (path = "/") => {
      const page = await browser.context.newPage();
      const { href, origin } = new URL(path, server.url);
      watch(page, origin, faults);
      await page.goto(href);
      return page;
    },
    assertClean: () => expect(faults).toEqual([]),
    close: async () => {
      await browser.close();
      await server.close();
      await database?.close();
    },
  };
}

/** What a page must never have: an error, a refusal of its own policy, a look at another host. */
function watch(page: Page, origin: string, faults: string[]): void {
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // The browser says so of each answer that is no success: tests look at what the page makes of it.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.origin !== origin) faults.push(`asked ${url.href}`);
  });
}

const violations = z.array(z.string());

/** @throws where the page, as it is now, keeps somebody out who does not see it, or uses no mouse. */
export async function assertAccessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(`axe
    .run(document, { resultTypes: ["violations"] })
    .then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map((node) => node.html + " " + node.failureSummary).join(" | ")))`);
  expect(violations.parse(found)).toEqual([]);
}

/** Looks at the page in both themes, and as wide as a phone, each time with `assertAccessible`. */
export async function assertAccessibleEverywhere(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await assertAccessible(page);
  }
  const size = page.viewportSize();
  await page.setViewportSize({ width: 390, height: 844 });
  await assertAccessible(page);
  expect(await overflow(page)).toBe(0);
  await page.emulateMedia({ colorScheme: "light" });
  if (size) await page.setViewportSize(size);
}

/** @returns by how many pixels the page is wider than its window. */
async function overflow(page: Page): Promise<number> {
  return page.evaluate("Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)");
}
