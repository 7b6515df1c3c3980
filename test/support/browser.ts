import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, type BrowserContextOptions, chromium } from "playwright-core";

const CHROMIUM = process.env.TEST_BROWSER ?? "/usr/bin/chromium";
const QUIET = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run"];
const OFFLINE = ["disable-background-networking", "disable-component-update", "disable-sync"];

/** A real browser with a profile of its own; `close` removes both. */
export interface TestBrowser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

/** @param options as whom, and where, it is used. */
export async function openBrowser(options: BrowserContextOptions = {}): Promise<TestBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "browser-"));
  const args = [...QUIET, ...OFFLINE].map((flag) => `--${flag}`);
  const context = await chromium.launchPersistentContext(profile, {
    ...options,
    executablePath: CHROMIUM,
    headless: true,
    args,
  });
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { context, close };
}
