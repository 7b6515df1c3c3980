import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { openBrowser, type TestBrowser } from "../support/browser.ts";
import { createPostgresDatabase } from "../support/database.ts";
import { killSpawned, post, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** A real browser, with nothing but its own EventSource: no code of the page's connects again, or keeps a cursor. */

let database: Awaited<ReturnType<typeof createPostgresDatabase>>;
let browser: TestBrowser;
let other: SpawnedServer;
beforeAll(async () => {
  database = await createPostgresDatabase();
  other = spawnServer({ DATABASE_URL: database.url });
  browser = await openBrowser();
});
afterAll(async () => {
  await browser.close();
  await killSpawned();
  await database.drop();
});

const submitted = z.object({ submitAiJob: z.object({ job: z.object({ jobId: z.string() }) }) });
const claimed = z.object({
  startWorkflow: z.object({
    claim: z.object({ leaseToken: z.string(), workflowRun: z.object({ workflowRunId: z.string() }) }),
  }),
});

/** A job that a worker holds, and what makes it one version newer. Always at the server that stays. */
async function aJob() {
  const url = await other.url;
  const submit =
    'mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "browser" }) { ... on SubmitAiJobPayload { job { jobId } } } }';
  const { jobId } = submitted.parse(await post(url, submit)).submitAiJob.job;
  const start = `mutation { startWorkflow(input: { jobId: "${jobId}", workerId: "w", leaseSeconds: 900 }) {
    ... on StartWorkflowPayload { claim { leaseToken workflowRun { workflowRunId } } } } }`;
  const { leaseToken, workflowRun } = claimed.parse(await post(url, start)).startWorkflow.claim;
  const { workflowRunId } = workflowRun;
  const beat = `mutation { heartbeatWorkflows(input: { heartbeats: [{ workflowRunId: "${workflowRunId}", leaseToken: "${leaseToken}",
    metrics: { inputTokens: 1 } }] }) { __typename } }`;
  return { jobId, change: () => post(url, beat) };
}

/** Opens a page of the server, which listens to a job. */
async function listen(server: string, jobId: string): Promise<Page> {
  const page = await browser.context.newPage();
  await page.goto(new URL("/live", server).href);
  const query = `subscription { change: aiJobChanged(jobId: "${jobId}") { kind version } }`;
  const address = `/graphql?query=${encodeURIComponent(query)}`;
  // In the page, as text: this project's types are not a browser's.
  await page.evaluate(`
    window.seen = [];
    window.opened = 0;
    const events = new EventSource(${JSON.stringify(address)});
    events.addEventListener("open", () => { window.opened += 1; });
    events.addEventListener("next", ({ data }) => {
      const { change } = JSON.parse(data).data;
      window.seen.push(change.kind + " " + change.version);
    });
  `);
  return page;
}

async function seenBy(page: Page): Promise<readonly string[]> {
  return z.array(z.string()).parse(await page.evaluate("window.seen"));
}

async function untilSeen(page: Page, version: number): Promise<void> {
  await vi.waitUntil(async () => (await seenBy(page)).includes(`EVENT ${version}`), { timeout: 60_000, interval: 100 });
}

test.each(["SIGTERM", "SIGKILL"] as const)(
  "a page's EventSource gets every change once, in order, through a server's restart after %s",
  async (signal) => {
    const { jobId, change } = await aJob();
    const first = spawnServer(database.env);
    const url = await first.url;
    const page = await listen(url, jobId);
    await vi.waitUntil(async () => (await seenBy(page)).length > 0, { timeout: 60_000, interval: 100 });
    for (let version = 3; version <= 5; version++) await change();
    await untilSeen(page, 5);

    await first.end(signal);
    // Nobody is there to tell the page.
    for (let version = 6; version <= 9; version++) await change();
    const second = spawnServer({ ...database.env, PORT: new URL(url).port });
    await second.url;
    for (let version = 10; version <= 12; version++) await change();
    await untilSeen(page, 12);

    expect(await seenBy(page)).toEqual([
      "SNAPSHOT 2",
      ...Array.from({ length: 10 }, (_, index) => `EVENT ${index + 3}`),
    ]);
    expect(await page.evaluate("window.opened")).toBe(2);
    await page.close();
    await second.end("SIGTERM");
  },
  180_000,
);
