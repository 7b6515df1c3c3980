import { createClient } from "@ai-job-server/sdk/client";
import { CannotBeDone, createWorker, type Worker } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, expect, test } from "vitest";
import { assertAccessibleEverywhere, type Console, openConsole } from "./console.ts";

/** A job's page: what its models used, and what it says of a failure. */

/** How often one job is given back: with its last run there are more runs than its page shows. */
const RELEASES = 20;

let app: Console;
let worker: Worker;
let ended: Promise<void>;
beforeAll(async () => {
  app = await openConsole();
  worker = createWorker({ url: app.server.url });
  worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
    const call = { provider: "openai", outputTokens: 10 };
    await ctx.step("plan", { type: "llm_call" }, (step) => {
      step.reportUsage({ ...call, model: "large", inputTokens: 1000, costMicros: 20_000 });
    });
    await ctx.step("write", { type: "llm_call" }, (step) => {
      step.reportUsage({ ...call, model: "large", inputTokens: 500, costMicros: 10_000 });
      step.reportUsage({ ...call, model: "small", inputTokens: 3000, costMicros: 5000 });
    });
    return { outputs: {} };
  });
  worker.handle("DOC_EDIT", (job) => {
    if (job.protocolId === "hopeless") throw new CannotBeDone("The document is empty.");
    throw new Error("The network is down.");
  });
  worker.handle("SHEET_TRANSFORM", async (_job, ctx) => {
    if (ctx.attempt <= RELEASES) await ctx.release("It is not its turn yet.");
    await ctx.step("read", {}, () => "rows");
    return { outputs: {}, issues: ["Two rows have no date."] };
  });
  ended = worker.run();
});
afterAll(async () => {
  worker.stop();
  await ended;
  await app.close();
});

test("what each model has used is a chart over time, of money or of tokens, which says the same in words", async () => {
  const client = createClient({ url: app.server.url });
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "priced" });
  await client.waitFor(jobId);
  const page = await app.open(`/jobs/${jobId}`);
  const cost = page.getByRole("img", {
    name: /^Cost over time by model: 0.03 \w+ by openai large, 0.005 \w+ by openai small/,
  });
  await cost.waitFor();
  const legend = cost.locator(".u-legend");
  await legend.getByText("openai large").waitFor();
  await legend.getByText("openai small").waitFor();
  // Before anybody points at it, too, it says what was used, and the axis tells such small amounts apart.
  await expect.poll(() => legend.textContent()).toMatch(/openai large0\.03openai small0\.005/);
  // A model is called the same in the table.
  await page.getByRole("rowheader", { name: "openai large", exact: true }).waitFor();
  await assertAccessibleEverywhere(page);

  await page.getByLabel("By model, over time").selectOption({ label: "Tokens" });
  await page
    .getByRole("img", { name: "Tokens over time by model: 1,520 by openai large, 3,010 by openai small in the end." })
    .waitFor();
  await page.close();
  app.assertClean();
});

test("a name of one long word breaks, and the page stays as wide as its window", async () => {
  const client = createClient({ url: app.server.url });
  const protocolId = "x".repeat(120);
  const labels = [{ key: "customer", value: "y".repeat(120) }];
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId, labels });
  const page = await app.open(`/jobs/${jobId}`);
  await page.setViewportSize({ width: 1360, height: 800 });
  await page.getByText(/Verified in this browser/).waitFor();
  const widest = () => page.evaluate("document.documentElement.scrollWidth");
  expect(await widest()).toBe(1360);
  await assertAccessibleEverywhere(page);
  await page.goto(new URL("/", app.server.url).href);
  await page.getByRole("button", { name: "Cancel all…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(protocolId).waitFor();
  expect(await dialog.evaluate((each) => each.scrollWidth - each.clientWidth)).toBe(0);
  expect(await dialog.locator(".preview").evaluate((each) => each.scrollWidth - each.clientWidth)).toBe(0);
  await page.close();
});

test("a click beside a dialog keeps what was typed into it", async () => {
  const { jobId } = await createClient({ url: app.server.url }).submit({
    jobKind: "TERMINAL_EXEC",
    protocolId: "typed",
  });
  const page = await app.open(`/jobs/${jobId}`);
  await page.getByRole("button", { name: "Cancel…" }).click();
  const why = page.getByRole("dialog").getByLabel("Why");
  await why.fill("The batch was a mistake.");
  await page.mouse.click(5, 5);
  await page.waitForTimeout(500);
  expect(await why.inputValue()).toBe("The batch was a mistake.");
  // The reason is what its page says then.
  await page.getByRole("button", { name: "Cancel it" }).click();
  await page.getByText("Cancelled: The batch was a mistake.", { exact: true }).waitFor();
  await page.getByText("Now cancelled: The batch was a mistake.").waitFor();
  await page.close();
});

test("to retry is what is offered first for a failure that may pass, and not for one that its worker said would come again", async () => {
  const client = createClient({ url: app.server.url });
  const submit = async (protocolId: string) => {
    const { jobId } = await client.submit({ jobKind: "DOC_EDIT", protocolId, maxAttempts: 1 });
    await client.waitFor(jobId).catch(() => undefined);
    return app.open(`/jobs/${jobId}`);
  };
  const hopeful = await submit("hopeful");
  const retry = hopeful.getByRole("button", { name: "Retry" });
  await retry.waitFor();
  await hopeful.getByText(/Verified in this browser/).waitFor();
  expect(await retry.getAttribute("class")).toContain("button-primary");
  expect(await retry.getAttribute("aria-describedby")).toBeNull();
  await hopeful.close();

  const hopeless = await submit("hopeless");
  await hopeless.getByText("another attempt would fail in the same way").waitFor();
  const again = hopeless.getByRole("button", { name: "Retry", description: /another attempt would fail/ });
  expect(await again.getAttribute("class")).not.toContain("button-primary");
  await assertAccessibleEverywhere(hopeless);
  await hopeless.close();
});

test("of many runs the latest are shown, the last one first; a run that was given back was not cancelled, and issues are said at once", async () => {
  const client = createClient({ url: app.server.url });
  const { jobId } = await client.submit({ jobKind: "SHEET_TRANSFORM", protocolId: "patient" });
  await client.waitFor(jobId);
  const page = await app.open(`/jobs/${jobId}`);
  await page.setViewportSize({ width: 1360, height: 800 });
  await page.getByText("Completed with issues: Two rows have no date.", { exact: true }).waitFor();
  await page.getByRole("button", { name: `Run ${RELEASES + 1}`, pressed: true }).waitFor();
  await page.getByText("The first run is not shown.").waitFor();
  const runs = page.getByRole("region", { name: "Runs and steps" });
  expect(await runs.getByText("Given back", { exact: true }).count()).toBe(RELEASES - 1);
  expect(await runs.getByText("Cancelled").count()).toBe(0);

  // The wheel scrolls the page over the graph, too.
  const graph = page.getByLabel("Steps as a graph");
  await graph.getByText("read").waitFor();
  await graph.scrollIntoViewIfNeeded();
  await graph.hover();
  const top = () => graph.evaluate((each) => each.getBoundingClientRect().top);
  const before = await top();
  await page.mouse.wheel(0, -300);
  await expect.poll(top).toBe(before + 300);

  // Its buttons follow the theme that was chosen, and not the system's alone.
  const zoom = graph.getByRole("button", { name: "Zoom In" });
  const colour = () => zoom.evaluate((each) => getComputedStyle(each).backgroundColor);
  const light = await colour();
  await page.evaluate('document.documentElement.style.colorScheme = "dark"');
  expect(await colour()).not.toBe(light);
  await assertAccessibleEverywhere(page);
  await page.close();
});
