import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openBrowser, type TestBrowser } from "../support/browser.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { JOB, type KitServer, startKitServer, startWorker, stopWorkers } from "./server.ts";

/** The React hooks, bundled as a frontend does, in a real browser. */

let server: KitServer;
let browser: TestBrowser;
let script: string;
beforeAll(async () => {
  server = await startKitServer();
  browser = await openBrowser();
  const entryPoints = [fileURLToPath(new URL("react-page.mjs", import.meta.url))];
  const define = { "process.env.NODE_ENV": '"production"' };
  const { outputFiles } = await build({ entryPoints, define, bundle: true, format: "esm", write: false });
  script = outputFiles[0]?.text ?? "";
});
afterEach(stopWorkers);
afterAll(async () => {
  await browser.close();
  await killSpawned();
});

const PATIENTLY = { timeout: 20_000 };
const labels = [{ key: "page", value: "react" }];

test("a page shows its jobs as they change, and the words of one as they come; a job that is added shows by itself", async () => {
  const page = await browser.context.newPage();
  const contentType = "text/html; charset=utf-8";
  await page.route("**/page.html", (route) =>
    route.fulfill({ contentType, body: '<body><script type="module" src="/page.js"></script></body>' }),
  );
  await page.route("**/page.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
  let streams = 0;
  page.on("request", (request) => {
    if (request.headers().accept === "text/event-stream") streams += 1;
  });
  const first = await server.client.submit({ ...JOB, labels });
  await page.goto(new URL("/page.html", server.url).href);
  const states = () => page.locator("li").allTextContents();
  await expect.poll(states, PATIENTLY).toEqual(["QUEUED"]);
  const second = await server.client.submit({ ...JOB, jobKind: "DOC_EDIT", labels });
  await expect.poll(states, PATIENTLY).toEqual(["QUEUED", "QUEUED"]);
  await page.locator("button").nth(1).click();
  const picked = () => page.locator("#picked").textContent();
  await expect.poll(picked, PATIENTLY).toBe("QUEUED : …");
  const seen = new AbortController();
  startWorker(server.url, (worker) =>
    worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
      ctx.progress(null, "at it");
      for (const word of ["The ", "minutes ", "say that"]) ctx.output.write(word);
      while (!seen.signal.aborted) await sleep(50);
    }),
  );
  await expect.poll(picked, PATIENTLY).toBe("RUNNING at it: The minutes say that…");
  expect(await states()).toEqual(["QUEUED", "RUNNING"]);
  seen.abort();
  await expect.poll(picked, PATIENTLY).toBe("COMPLETED at it: The minutes say that.");
  await server.client.cancel(second.jobId, "The test is over.");
  await expect.poll(states, PATIENTLY).toEqual(["CANCELLED", "COMPLETED"]);
  expect(await page.locator("#error").count()).toBe(0);
  // The list, the job and its output, each begun twice by React's StrictMode, are one stream.
  expect(streams).toBe(1);
  expect((await server.client.job(first.jobId))?.state).toBe("COMPLETED");
});
