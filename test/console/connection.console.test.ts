import { readdir } from "node:fs/promises";
import { createClient } from "@ai-job-server/sdk/client";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { OTHER_HOST } from "../support/browser.ts";
import { assertAccessible, type Console, openConsole } from "./console.ts";
import { type Proxy, startProxy } from "./proxy.ts";

/** The console behind a proxy of another path, whose network is cut, and whose server is another one afterwards. */

let app: Console;
let proxy: Proxy;
beforeAll(async () => {
  app = await openConsole();
});
beforeEach(async () => {
  proxy = await startProxy(app.server.url, "/tools/ai-jobs");
});
afterEach(async () => {
  await proxy.close();
});
afterAll(async () => {
  await app.close();
});

const submit = (protocolId: string) =>
  createClient({ url: app.server.url }).submit({ jobKind: "DOC_EDIT", protocolId });

test("below another path, each view is there by its address, and everything it loads is below that path", async () => {
  const { jobId } = await submit("deep-link");
  const page = await app.open(`${proxy.url}jobs/${jobId}`);
  await page.getByText("Verified in this browser: 1 event").waitFor();
  await page.getByRole("link", { name: "Inbox" }).click();
  await page.getByText("Nothing waits for you.").waitFor();
  expect(new URL(page.url()).pathname).toBe("/tools/ai-jobs/inbox");
  await page.reload();
  await page.getByText("Nothing waits for you.").waitFor();
  await page.close();
  app.assertClean();
});

test("without TLS, by the name of another machine, it is live, and a job can be submitted", async () => {
  const elsewhere = await openConsole({ PUBLIC_URL: `http://${OTHER_HOST}` });
  try {
    const page = await elsewhere.open(elsewhere.server.url.replace(/127.0.0.1(:\d+).*/, `${OTHER_HOST}$1/`));
    expect(await page.evaluate("isSecureContext")).toBe(false);
    await page.getByText("There is no job yet.").waitFor();
    // The command that it offers asks this server.
    await page.getByText(`npx ai-job-server seed --url ${new URL("/graphql", page.url()).href}`).waitFor();
    const job = { jobKind: "DOC_EDIT", protocolId: "from-elsewhere" } as const;
    const { jobId } = await createClient({ url: elsewhere.server.url }).submit(job);
    await page.getByRole("row", { name: new RegExp(jobId.slice(-8)) }).waitFor();
    await page.getByRole("link", { name: "Submit a job" }).first().click();
    await page.getByLabel(/^Protocol/).fill("without-tls");
    await page.getByRole("button", { name: "Submit", exact: true }).click();
    await page.getByText(/Verified in this browser/).waitFor();
  } finally {
    await elsewhere.close();
  }
});

test("by a name that the server does not know it says which it may be called by", async () => {
  const page = await app.open(app.server.url.replace(/127.0.0.1(:\d+).*/, `${OTHER_HOST}$1/`));
  await page.getByText("The server is not known by this name. Call it by localhost, or set PUBLIC_URL.").waitFor();
  await page.close();
});

test("a record that is changed on its way is told of, and where it breaks", async () => {
  const { jobId } = await submit("forged");
  await createClient({ url: app.server.url }).cancel(jobId, "as it was said");
  proxy.forge("as it was said", "as it was not said");
  const page = await app.open(`${proxy.url}jobs/${jobId}`);
  await page.getByText("The record breaks at event 2: it is not what its hash was made of").waitFor();
  await assertAccessible(page);
  await page.close();
});

test("without its server it says since when, and goes on by itself, missing nothing", async () => {
  await submit("before");
  const page = await app.open(proxy.url);
  await page.getByText("before").waitFor();
  proxy.cut();
  await page.getByText(/^Showing \d\d:\d\d:\d\d, reconnecting…$/).waitFor();
  await assertAccessible(page);
  const { jobId } = await submit("meanwhile");
  await createClient({ url: app.server.url }).cancel(jobId, "to be seen later");
  proxy.restore();
  await page.getByText("meanwhile").waitFor();
  await page.getByRole("row", { name: /Cancelled.*meanwhile/ }).waitFor();
  await page.getByText(/reconnecting/).waitFor({ state: "detached" });
  await page.close();
});

test("a view that cannot be loaded says why, leaves the menu, and comes by itself when the server is back", async () => {
  const { jobId } = await submit("open-meanwhile");
  const page = await app.open(`${proxy.url}jobs/${jobId}`);
  await page.getByText("Verified in this browser: 1 event").waitFor();
  proxy.cut();
  await page.getByRole("link", { name: "Workers" }).click();
  await page.getByRole("heading", { name: "This view could not be loaded" }).waitFor();
  await page.getByText(/^The server has not answered since \d\d:\d\d:\d\d/).waitFor();
  await page.getByText(/reconnecting/).waitFor();
  await assertAccessible(page);
  // Without a server, nothing is lost by trying.
  await page.getByRole("button", { name: "Try again" }).click();
  // A view that is there is shown: the fault was that of another one.
  await page.goBack();
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Jobs" }).click();
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  await page.getByRole("link", { name: "Workers" }).click();
  await page.getByRole("heading", { name: "This view could not be loaded" }).waitFor();
  const reloaded = page.waitForEvent("load");
  proxy.restore();
  await reloaded;
  await page.getByRole("heading", { name: "Workers" }).waitFor();
  await page.close();
});

test("a view that its server does not have any more has the page loaded anew, once", async () => {
  const files = await readdir(new URL("../../console/dist/assets", import.meta.url));
  const script = files.find((name) => /^workers-.*\.js$/.test(name));
  proxy.answer(`/assets/${script}`, "This is no script.");
  const page = await app.open(proxy.url);
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  let loads = 0;
  page.on("load", () => {
    loads += 1;
  });
  await page.getByRole("link", { name: "Workers" }).click();
  await expect.poll(() => loads, { timeout: 10_000 }).toBe(1);
  await page.getByText("The server answers: it may have been replaced by one of another version.").waitFor();
  await page.waitForTimeout(3000);
  expect(loads).toBe(1);
  // The menu is there, and so are the other views.
  await page.getByRole("link", { name: "Usage" }).click();
  await page.getByRole("heading", { name: "Usage" }).waitFor();
  await page.close();
});

test("the other views are loaded as soon as the page has nothing to do, and are there without the server", async () => {
  const page = await app.open(proxy.url);
  // The last one.
  await page.waitForResponse(/\/assets\/submit-/);
  await page.waitForTimeout(500);
  proxy.cut();
  await page.getByText(/reconnecting/).waitFor();
  await page.getByRole("link", { name: "Workers" }).click();
  await page.getByRole("heading", { name: "Workers" }).waitFor();
  await page.close();
});

test("a list that cannot be read shows no rows of another one, and reads itself when the server is back", async () => {
  const { jobId } = await submit("of-another-filter");
  await createClient({ url: app.server.url }).cancel(jobId, "so that it is no longer queued");
  await submit("of-this-filter");
  const page = await app.open(proxy.url);
  await page.getByRole("row", { name: /of-another-filter/ }).waitFor();
  proxy.cut();
  await page.getByText(/reconnecting/).waitFor();
  await page.getByRole("button", { name: /Queued/ }).click();
  await page.getByText("State: Queued").waitFor();
  await page.getByText("The server did not answer. The page tries again as soon as the server is back.").waitFor();
  expect(await page.getByRole("row", { name: /of-/ }).count()).toBe(0);
  for (const name of ["Cancel all…", "Retry all…"])
    expect(await page.getByRole("button", { name }).isDisabled()).toBe(true);
  expect(await page.getByText(/Nobody knows/).count()).toBe(0);
  // Nothing has made it live meanwhile.
  await page.waitForTimeout(3000);
  await page.getByText(/^Showing \d\d:\d\d:\d\d, reconnecting…$/).waitFor();
  await assertAccessible(page);
  proxy.restore();
  await page.getByRole("row", { name: /of-this-filter/ }).waitFor();
  expect(await page.getByRole("row", { name: /of-another-filter/ }).count()).toBe(0);
  await page.getByText(/reconnecting/).waitFor({ state: "detached" });
  await page.getByText(/did not answer/).waitFor({ state: "detached" });
  await page.close();
});

test("a server that was upgraded under the page is told of, and its console is a click away", async () => {
  const page = await app.open(proxy.url);
  await expect.poll(() => proxy.streams()).toBe(1);
  proxy.answer("/build.json", '{"build":"another"}');
  proxy.cut();
  await page.getByText(/reconnecting/).waitFor();
  proxy.restore();
  const reloaded = page.waitForEvent("load");
  await page.getByRole("button", { name: "Load its console" }).click();
  await reloaded;
  await page.getByRole("heading", { name: "Jobs" }).waitFor();
  await page.close();
});

test("the page is under a policy without exceptions, and nobody may frame it", async () => {
  const response = await fetch(new URL("/", app.server.url), { headers: { accept: "text/html" } });
  const policy = response.headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain("unsafe");
  const [, nonce = ""] = /'nonce-([^']+)'/.exec(policy) ?? [];
  expect(await response.text()).toContain(`nonce="${nonce}"`);
});

test("a file that is not there is not found, and none outside the console is served", async () => {
  for (const path of ["/assets/none.js", "/assets/../../package.json", "/assets/%2e%2e/%2e%2e/package.json"]) {
    const response = await fetch(new URL("/", app.server.url).origin + path);
    expect([path, response.status]).toEqual([path, 404]);
  }
});
