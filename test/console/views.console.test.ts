import { AiJobStats, ClaimAiJobs, createClient } from "@ai-job-server/sdk/client";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { assertAccessible, assertAccessibleEverywhere, type Console, openConsole } from "./console.ts";
import { Load } from "./load.ts";

/** Every view, while fifty jobs change in a second: workers of the kit do them. */

let app: Console;
let load: Load;
beforeAll(async () => {
  app = await openConsole();
  load = new Load(app.server.url);
  await load.start();
});
afterAll(async () => {
  await load.stop();
  await app.close();
});

const VIEWS = [
  "Jobs",
  "Inbox",
  "Workers",
  "Usage",
  "Bulk actions",
  "Quotas",
  "Keys and workspaces",
  "Health",
  "Submit a job",
] as const;

describe("every view", () => {
  let page: Page;
  beforeAll(async () => {
    page = await app.open("/system");
  });
  afterAll(async () => {
    await page.close();
  });

  test.each(VIEWS)("%s is a click away, and keeps nobody out, in both themes and on a phone", async (name) => {
    await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    await page.getByText("is loading…").first().waitFor({ state: "detached" });
    await assertAccessibleEverywhere(page);
    app.assertClean();
  });
});

test("all states stand in one line of a laptop's window, and the views take little of a phone's", async () => {
  const page = await app.open("/keys");
  await page.setViewportSize({ width: 390, height: 844 });
  await page.reload();
  const views = page.getByRole("navigation", { name: "Views" });
  // Which view it is stands in sight, though it is one of the last.
  const current = views.getByRole("link", { name: "Keys and workspaces" });
  const end = async () => {
    const { x = -1, width = 0 } = (await current.boundingBox()) ?? {};
    return x < 0 ? Number.POSITIVE_INFINITY : x + width;
  };
  await expect.poll(end).toBeLessThanOrEqual(390);
  expect((await page.getByRole("banner").boundingBox())?.height).toBeLessThan(100);
  await page.setViewportSize({ width: 1280, height: 860 });
  await views.getByRole("link", { name: "Jobs" }).click();
  const states = page.getByRole("group", { name: "Jobs by state" }).getByRole("button");
  await states.first().waitFor();
  const tops = new Set(
    (await Promise.all((await states.all()).map((each) => each.boundingBox()))).map((box) => box?.y),
  );
  expect(tops.size).toBe(1);
  expect(await states.evaluateAll((all) => all.filter((each) => each.scrollWidth > each.clientWidth).length)).toBe(0);
  // Fields beside each other stand in one line, too.
  const fields = page.locator(".filters .field :is(input, select)");
  const places = await fields.evaluateAll((all) => all.map((each) => each.getBoundingClientRect()));
  expect(new Set(places.map(({ top }) => Math.round(top))).size).toBe(1);
  // A row has its job's labels in sight.
  const shown = page
    .getByRole("row", { name: /speed=fast/ })
    .first()
    .getByText("speed=fast");
  await shown.waitFor();
  // What a row has no place for is in its title.
  const about = page
    .getByRole("row", { name: /speed=fast/ })
    .first()
    .locator("[title]")
    .first();
  expect(await about.getAttribute("title")).toMatch(/^load\nspeed=fast\n[0-9a-f-]{36}$/);
  await page.close();
});

test("who works on what is there, and what was lost", async () => {
  const client = createClient({ url: app.server.url });
  // A worker that claims a job, and is never heard of again.
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "to-be-lost", priority: 9 });
  const claim = { workerId: "worker-that-died", jobKinds: ["TERMINAL_EXEC" as const], leaseSeconds: 15 };
  await client.request(ClaimAiJobs, { input: claim });
  const page = await app.open("/workers");
  await page.getByText("worker-of-the-load").first().waitFor();
  await page.getByText("worker-that-died").first().waitFor();
  const lost = page.getByRole("region", { name: "Lease losses" }).getByRole("row", { name: /worker-that-died/ });
  await lost.waitFor({ timeout: 40_000 });
  expect(await lost.getByRole("link").getAttribute("href")).toBe(`/jobs/${jobId}`);
  await assertAccessible(page);
  await page.close();
});

test("GraphiQL is a click away, with the operation behind the view and its variables", async () => {
  const { jobId } = await createClient({ url: app.server.url }).submit({ jobKind: "DOC_EDIT", protocolId: "asked" });
  const page = await app.open(`/jobs/${jobId}`);
  const opened = app.context.waitForEvent("page");
  await page.getByRole("main").getByRole("link", { name: "GraphiQL" }).click();
  const graphiql = await opened;
  await graphiql.getByRole("button", { name: /Execute query/ }).click();
  await graphiql.locator(".result-window").getByText(jobId).first().waitFor();
  await graphiql.close();
  await page.close();
});

test("the theme that a person chooses counts, whatever its system has", async () => {
  const page = await app.open();
  await page.emulateMedia({ colorScheme: "light" });
  const background = () => page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
  await page.getByRole("button", { name: "Theme: auto" }).click();
  const light = await background();
  await page.getByRole("button", { name: "Theme: light" }).click();
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await background()).toBe(dark);
  await page.getByRole("button", { name: "Theme: dark" }).click();
  await page.getByRole("button", { name: "Theme: auto" }).click();
  expect(await background()).toBe(light);
  await page.getByRole("button", { name: "Theme: light" }).click();
  await page.getByRole("button", { name: "Theme: dark" }).click();
  await page.close();
});

test("a job's page keeps nobody out while the job changes", async () => {
  const { jobId } = await createClient({ url: app.server.url }).submit({
    jobKind: "DOC_EDIT",
    protocolId: "looked-at",
    labels: [{ key: "speed", value: "slow" }],
  });
  const page = await app.open(`jobs/${jobId}`);
  await page.getByText("Running").first().waitFor();
  await assertAccessible(page);
  await page.getByText("Completed").first().waitFor();
  await page.getByText(/Verified in this browser/).waitFor();
  await assertAccessibleEverywhere(page);
  await page.close();
  app.assertClean();
});

test("the list is live, its counts are the server's, and nothing moves under the pointer", async () => {
  const page = await app.open();
  const rows = page.getByRole("row");
  await expect.poll(() => rows.count()).toBeGreaterThan(10);
  const firstLink = () => rows.nth(1).getByRole("link").getAttribute("href");

  // Live: another job is on top soon.
  const before = await firstLink();
  await expect.poll(firstLink, { timeout: 20_000 }).not.toBe(before);

  // Held: under the pointer each row stays where it is, and what waits is told.
  await rows.nth(3).hover();
  await page.getByRole("button", { name: /changed: update the list/ }).waitFor();
  const held = await firstLink();
  await assertAccessible(page);
  await page.waitForTimeout(2000);
  expect(await firstLink()).toBe(held);
  await page.getByRole("button", { name: /changed: update the list/ }).click();
  await expect.poll(firstLink).not.toBe(held);

  // Paused: nothing changes at all.
  await page.getByRole("button", { name: "Pause updates" }).click();
  await page.mouse.move(0, 0);
  // But for how long ago things were.
  const shown = async () => (await page.getByRole("table").textContent())?.replace(/now|\d+ \w+ ago/g, "");
  const paused = await shown();
  await page.waitForTimeout(2000);
  expect(await shown()).toBe(paused);
  await page.close();
});

test("a filter is in the address, is there after a reload, and the way back leads out of it", async () => {
  const page = await app.open();
  await page.getByLabel("Search").fill("speed=fast");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("button", { name: "Completed", exact: false }).first().click();
  await expect.poll(() => new URL(page.url()).search).toBe("?label=speed%3Dfast&state=COMPLETED");
  await page.reload();
  await page.getByText("Label: speed=fast").waitFor();
  await page
    .getByRole("row", { name: /Completed/ })
    .first()
    .waitFor();
  expect(await page.getByRole("row", { name: /Running|Queued/ }).count()).toBe(0);
  await page.goBack();
  await page.goBack();
  await expect.poll(() => new URL(page.url()).search).toBe("");
  await page.close();
});

test("a job is found by its id, its key, its protocol, a label, and its trace", async () => {
  const client = createClient({ url: app.server.url });
  const labels = [{ key: "case", value: "a=b" }];
  const job = { jobKind: "DOC_EDIT", protocolId: "found", idempotencyKey: "invoice-4711", labels } as const;
  const { jobId } = await client.submit(job);
  const { traceId } = z.object({ traceId: z.string() }).parse(await client.job(jobId));
  const page = await app.open();
  const search = async (term: string) => {
    await page.getByLabel("Search").fill(term);
    await page.keyboard.press("Enter");
  };
  // There is one such job: its page comes.
  for (const term of [jobId, "invoice-4711"]) {
    await search(term);
    await page.getByText(/Verified in this browser/).waitFor();
    await page.goto(app.server.url.replace("/graphql", "/"));
  }
  for (const [term, condition] of [
    ["found", "Protocol: found"],
    ["case=a=b", "Label: case=a=b"],
    [traceId, `Trace: ${traceId}`],
  ] as const) {
    await search(term);
    await page.getByText(condition).waitFor();
    await expect.poll(() => page.getByRole("row").count()).toBe(2);
    await page.getByRole("button", { name: "Clear all" }).click();
  }
  await page.close();
});

test("the end of an id, as rows have it, leads to its job; a search takes the place of the one before, and says what it can find", async () => {
  const client = createClient({ url: app.server.url });
  const { jobId } = await client.submit({ jobKind: "TERMINAL_EXEC", protocolId: "found-by-its-end" });
  const page = await app.open("/?state=QUEUED&order=oldest&label=speed%3Dfast");
  const search = async (term: string) => {
    await page.getByLabel("Search").fill(term);
    await page.keyboard.press("Enter");
  };
  await search("found-by-its-end");
  await expect.poll(() => new URL(page.url()).search).toBe("?state=QUEUED&order=oldest&protocol=found-by-its-end");
  for (const term of [jobId.slice(-8), `…${jobId.slice(-8)}`]) {
    await page.getByRole("row", { name: /found-by-its-end/ }).waitFor();
    await search(term);
    await page.getByText(/Verified in this browser/).waitFor();
    expect(page.url()).toContain(jobId);
    await page.goBack();
  }
  await search("none-such");
  await page.getByText("No job matches all of these conditions.").waitFor();
  await page.getByText(/A search finds the whole id of a job or a trace/).waitFor();
  await search("case=none");
  await expect.poll(() => new URL(page.url()).search).toBe("?state=QUEUED&order=oldest&label=case%3Dnone");
  await assertAccessible(page);
  await page.close();
});

test("whatever is cleared has a chip; a period by its name is that of whoever opens the address, and when", async () => {
  const page = await app.open();
  await page.getByLabel("Submitted").selectOption({ label: "Today" });
  await expect.poll(() => new URL(page.url()).search).toBe("?period=today");
  await page.getByText("Submitted: Today").waitFor();
  await page.getByLabel("Order").selectOption({ label: "Costliest first" });
  await page.getByText("Order: Costliest first").waitFor();
  await page.getByRole("row").nth(1).waitFor();
  await assertAccessible(page);
  // The costliest of all time cannot be had.
  await page.getByRole("button", { name: "Without Submitted: Today" }).click();
  await expect.poll(() => new URL(page.url()).search).toBe("");
  // Tomorrow, nothing was submitted today yet.
  await page.goto(new URL("/?period=today", app.server.url).href);
  await page.getByRole("row").nth(1).waitFor();
  await page.clock.setFixedTime(Date.now() + 86_400_000);
  await page.reload();
  await page.getByText("No job matches all of these conditions.").waitFor();
  await page.goto(new URL("/?period=yesterday", app.server.url).href);
  await page.getByRole("row").nth(1).waitFor();
  await page.goto(new URL("/?from=2026-01-01T00:00:00Z", app.server.url).href);
  await page.getByText(/^Submitted: from /).waitFor();
  await page.getByRole("button", { name: "Clear all" }).click();
  await expect.poll(() => new URL(page.url()).search).toBe("");
  await page.close();
});

test("an address that nobody made leads to a job that is not there, and says so", async () => {
  const page = await app.open("jobs/018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b");
  await page.getByText("There is no job 018f3c4e").waitFor();
  await page.getByRole("main").getByRole("link", { name: "To all jobs" }).click();
  await page.getByRole("heading", { level: 1, name: "Jobs" }).waitFor();
  await page.goto(new URL("/jobs/not-an-id", app.server.url).href);
  await page.getByText("not-an-id is no id of a job.").waitFor();
  expect(await page.getByRole("button", { name: "Try again" }).count()).toBe(0);
  await page.getByRole("link", { name: "To all jobs" }).click();
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  const answer = await page.goto(new URL("/nowhere", app.server.url).href);
  expect(answer?.status()).toBe(404);
  await page.getByRole("heading", { name: "There is no such view" }).waitFor();
  await assertAccessible(page);
  await page.getByRole("link", { name: "To all jobs" }).click();
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  await page.close();
});

test("on a phone the menu shows where one is, and scrolls nothing else", async () => {
  const page = await app.open("/submit");
  await page.setViewportSize({ width: 390, height: 120 });
  await page.reload();
  await page.getByRole("link", { name: "Submit a job" }).waitFor();
  await expect.poll(() => page.evaluate('document.querySelector("nav").scrollLeft > 0')).toBe(true);
  await page.goto(new URL("/jobs/no-id", app.server.url).href);
  await page.getByText("no-id is no id").waitFor();
  const scrolled = await page.evaluate("scrollTo(0, 1000); scrollY");
  expect(scrolled).toBeGreaterThan(50);
  await page.evaluate('history.pushState(null, "", "/jobs/none-either")');
  await page.getByText("none-either is no id").waitFor();
  expect(await page.evaluate("scrollY")).toBe(scrolled);
  await page.close();
});

test("the counts are the server's", async () => {
  const page = await app.open();
  await load.stop();
  const { aiJobStats } = await createClient({ url: app.server.url }).request(AiJobStats, {});
  const completed = aiJobStats.byState.find(({ state }) => state === "COMPLETED")?.count ?? 0;
  const shown = page.getByRole("group", { name: "Jobs by state" }).getByRole("button", { name: /Completed/ });
  await expect.poll(() => shown.textContent()).toBe(`✓ Completed${completed.toLocaleString("en-GB")}`);
  await page.close();
  app.assertClean();
});
