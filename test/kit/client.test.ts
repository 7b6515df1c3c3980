import { setTimeout as sleep } from "node:timers/promises";
import { type Change, createClient, JobServerError, UnansweredError } from "@ai-job-server/sdk/client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { killSpawned } from "../support/spawn-server.ts";
import { type CountingProxy, countRequests } from "./counting-proxy.ts";
import { JOB, type KitServer, startKitServer, startWorker, stopWorkers } from "./server.ts";

/** The client, in the package as it is built, with a server as users start it. */

let server: KitServer;
beforeAll(async () => {
  server = await startKitServer();
});
afterEach(stopWorkers);
afterAll(killSpawned);

const STEPS = 12;
const NOBODY = "01a22d17-4c47-7248-80bc-4d05c8161d98";

/** A worker whose jobs have many versions. */
function workInSteps(): void {
  startWorker(
    server.url,
    (worker) =>
      worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
        for (let at = 0; at < STEPS; at += 1) await ctx.step("step", { input: { at } }, () => sleep(500));
      }),
    { concurrency: 10 },
  );
}

/** How a job is at first, and then every version, each once and in order, until it has ended. */
function expectGapless(changes: readonly Change[]): void {
  const [first, ...events] = changes;
  expect(first?.kind).toBe("SNAPSHOT");
  expect(events.map(({ version }) => version)).toEqual(events.map((_, at) => (first?.version ?? 0) + at + 1));
  expect(changes.at(-1)?.state).toBe("COMPLETED");
}

async function breakAgainAndAgain(proxy: CountingProxy, times: number, ms: number): Promise<void> {
  for (let at = 0; at < times; at += 1) {
    await sleep(ms);
    proxy.breakOff();
  }
}

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

test.each([
  ["a connection each", false],
  ["one connection for all", true],
])(
  "watches miss nothing and repeat nothing, though their connections break again and again: %s",
  async (_what, isShared) => {
    const proxy = await countRequests(server.url);
    const client = createClient({ url: proxy.url, isShared });
    const jobs = await Promise.all(Array.from({ length: 8 }, () => client.submit(JOB)));
    const watches = Promise.all(jobs.map(({ jobId }) => all(client.watchJob(jobId))));
    await sleep(500);
    workInSteps();
    try {
      const breaks = breakAgainAndAgain(proxy, 5, 1_000);
      for (const changes of await watches) expectGapless(changes);
      await breaks;
    } finally {
      client.close();
      await proxy.close();
    }
  },
);

test.each([[false], [true]])(
  "a watch tells that it is broken off, and that it goes on (shared: %s)",
  async (isShared) => {
    const proxy = await countRequests(server.url);
    const client = createClient({ url: proxy.url, isShared });
    const { jobId } = await server.client.submit({ ...JOB, jobKind: "TERMINAL_EXEC" });
    const told: [boolean, unknown][] = [];
    const watch = client.watchJob(jobId, { onConnection: (...words) => void told.push([words[0], words[1]]) });
    const changes = all(watch);
    await expect.poll(() => proxy.underWay()).toBe(1);
    expect(told).toEqual([]);
    proxy.cut(1_000);
    await expect
      .poll(() => told, { timeout: 20_000 })
      .toEqual([
        [false, expect.any(UnansweredError)],
        [true, undefined],
      ]);
    await server.client.cancel(jobId, "The test is over.");
    expect((await changes).map(({ state }) => state)).toEqual(["QUEUED", "CANCELLED"]);
    expect(told).toHaveLength(2);
    client.close();
    await proxy.close();
  },
);

test("a browser's limit of connections is never met: twenty watches are one request that goes on", async () => {
  const proxy = await countRequests(server.url);
  const client = createClient({ url: proxy.url, isShared: true });
  const jobs = await Promise.all(Array.from({ length: 20 }, () => server.client.submit(JOB)));
  const stop = new AbortController();
  const first = jobs.map(({ jobId }) => client.watchJob(jobId, { signal: stop.signal })[Symbol.asyncIterator]());
  for (const watch of first) expect(await watch.next()).toMatchObject({ value: { kind: "SNAPSHOT" } });
  await expect.poll(() => proxy.underWay()).toBe(1);
  stop.abort(new Error("enough"));
  await expect(first[0]?.next()).rejects.toThrow("enough");
  client.close();
  await proxy.close();
  await Promise.all(jobs.map(({ jobId }) => server.client.cancel(jobId, "The test is over.")));
});

test("what is submitted while connections break is submitted once", async () => {
  const proxy = await countRequests(server.url);
  const client = createClient({ url: proxy.url });
  const breaks = breakAgainAndAgain(proxy, 20, 25);
  const labels = [{ key: "test", value: "once" }];
  const submitted = await Promise.all(Array.from({ length: 20 }, () => client.submit({ ...JOB, labels })));
  await breaks;
  const { nodes } = await server.client.jobs({ filter: { labels }, first: 100 });
  expect(new Set(nodes.map(({ jobId }) => jobId))).toEqual(new Set(submitted.map(({ jobId }) => jobId)));
  expect(nodes).toHaveLength(20);
  await proxy.close();
});

test("errors are typed by their code, and say what to do", async () => {
  const { client } = server;
  await expect(client.submit({ ...JOB, maxAttempts: 0 })).rejects.toMatchObject({
    code: "INVALID_INPUT",
    details: { issues: [{ path: ["input", "maxAttempts"] }] },
  });
  await expect(client.cancel(NOBODY, "no")).rejects.toThrow(JobServerError);
  await expect(createClient({ url: "http://127.0.0.1:9/graphql" }).cancel(NOBODY, "no")).rejects.toThrow(
    UnansweredError,
  );
  expect(await client.job(NOBODY)).toBeNull();
  await expect(all(client.watchJob(NOBODY))).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(all(client.watchJobs({}, { after: "nonsense" }))).rejects.toMatchObject({ code: "INVALID_INPUT" });
});
