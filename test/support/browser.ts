import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const CHROMIUM = process.env.TEST_BROWSER ?? "/usr/bin/chromium";
const QUIET = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run"];
/** A host that is not this machine, as far as the browser knows: what it serves without TLS is no secure context. */
export const OTHER_HOST = "jobs.test";
const NAMES = [`host-resolver-rules=MAP ${OTHER_HOST} 127.0.0.1`];
const OFFLINE = ["disable-background-networking", "disable-component-update", "disable-sync"];

/** A real browser with a profile of its own; `close` removes both. */
export interface TestBrowser {
  readonly context: BrowserContext;
  close(): Promise<void>;
}

/** A browser that nobody drives. */
export interface PlainBrowser extends Pick<TestBrowser, "close"> {
  /** Looks at its page from then on. */
  page(): Promise<Page>;
}

/** Starts a browser with a profile of its own at an address, without a debugger. */
export async function startPlainBrowser(url: string): Promise<PlainBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "browser-"));
  const flags = [...QUIET, ...OFFLINE, "headless", "remote-debugging-port=0", `user-data-dir=${profile}`];
  const child = spawn(CHROMIUM, [...flags.map((flag) => `--${flag}`), url], { stdio: "ignore" });
  const page = async () => {
    const [port] = (await readFile(join(profile, "DevToolsActivePort"), "utf8")).split("\n");
    const browser = await chromium.connectOverCDP(`http://127.0.0.1:${port}`);
    const [first] = browser.contexts().flatMap((context) => context.pages());
    if (!first) throw new Error("The browser has no page.");
    return first;
  };
  const close = async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  };
  return { page, close };
}

/** @param options as whom, and where, it is used. */
export async function openBrowser(options: BrowserContextOptions = {}): Promise<TestBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "browser-"));
  const args = [...QUIET, ...OFFLINE, ...NAMES].map((flag) => `--${flag}`);
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
