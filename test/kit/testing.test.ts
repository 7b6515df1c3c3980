import { createClient } from "@ai-job-server/sdk/client";
import { createWorker, runOnce } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestServer } from "../../src/testing.ts";

/** The kit for tests of other people's workers; `test/packed-server.test.ts` has it as they get it. */

let server: Awaited<ReturnType<typeof createTestServer>>;
beforeAll(async () => {
  server = await createTestServer();
}, 60_000);
afterAll(() => server.close());

test("a worker does one job at a time, in a test that waits for nothing", async () => {
  const client = createClient(server);
  const worker = createWorker(server);
  worker.handle("DOC_SUMMARIZE", async (_job, ctx) => {
    const plan = await ctx.step("plan", { input: null }, () => ({ calls: 1 }));
    const isRight = await ctx.ask("Is it right?");
    if (ctx.attempt === 2) throw new Error("It is not right.");
    return { outputs: { ...plan, isRight } };
  });
  expect(await runOnce(worker, { waitSeconds: 0 })).toBeUndefined();

  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "p" });
  const other = await client.submit({ jobKind: "DOC_EDIT", protocolId: "p" });
  expect(await runOnce(worker)).toEqual({ jobId, jobKind: "DOC_SUMMARIZE", ending: "waits" });
  expect(await client.job(jobId)).toMatchObject({ state: "AWAITING_USER" });
  await client.answer(jobId, "no");
  expect(await runOnce(worker)).toMatchObject({ jobId, ending: "failed" });
  expect(await runOnce(worker)).toMatchObject({ jobId, ending: "completed" });
  expect(await client.job(jobId)).toMatchObject({ state: "COMPLETED", jobOutputs: { calls: 1, isRight: "no" } });
  expect(await client.job(other.jobId)).toMatchObject({ state: "QUEUED" });
});

test("a worker does one thing at a time: many jobs, or one", async () => {
  const worker = createWorker(server).handle("SHEET_TRANSFORM", async () => undefined);
  const waiting = runOnce(worker, { waitSeconds: 1 });
  await expect(worker.run()).rejects.toThrow("runOnce: wait for that");
  expect(await waiting).toBeUndefined();
  const running = worker.run();
  await expect(runOnce(worker)).rejects.toThrow("runs already");
  await expect(worker.run()).rejects.toThrow("runs already");
  worker.stop();
  await running;
  await expect(runOnce(worker)).rejects.toThrow("has run, and was stopped: make another one");
  await expect(worker.run()).rejects.toThrow("make another one");
});

test("several servers in one process have nothing of each other", async () => {
  const other = await createTestServer();
  await createClient(other).submit({ jobKind: "CANVAS_CLUSTER", protocolId: "p" });
  expect((await createClient(server).jobs({ filter: { kinds: ["CANVAS_CLUSTER"] } })).nodes).toEqual([]);
  await other.close();
  await expect(fetch(other.url)).rejects.toThrow("fetch failed");
});

test("a setting that cannot be used is refused", async () => {
  await expect(createTestServer({ PORT: "many" })).rejects.toThrow("PORT");
});
