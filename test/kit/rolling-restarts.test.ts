import { setTimeout as sleep } from "node:timers/promises";
import { createWorker } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tenfoldInLong } from "../support/long.ts";
import { killSpawned } from "../support/spawn-server.ts";
import { JOB, type KitServer, startKitServer } from "./server.ts";

/** Deploys under load: a worker that is replaced gives back what it has, and nothing is charged for it. */

let server: KitServer;
beforeAll(async () => {
  server = await startKitServer();
});
afterAll(killSpawned);

const RESTARTS = tenfoldInLong(100);
const LINES = 4;
const labels = [{ key: "test", value: "rolling" }];

test(
  "a hundred rolling restarts under load charge no attempt, lose no job, and repeat no step that was done",
  async () => {
    const done: string[] = [];
    let givenBack = 0;
    /** A worker that works for a while; each time another one. */
    const workFor = async (ms: number) => {
      const log = (line: string) => {
        if (line.endsWith("given back")) givenBack += 1;
      };
      const worker = createWorker({ url: server.url, concurrency: 5, drainSeconds: 0, log });
      worker.handle("DOC_SUMMARIZE", async (job, ctx) => {
        for (const name of ["one", "two", "three"]) {
          await ctx.step(name, {}, async ({ signal }) => {
            await sleep(40 + Math.random() * 80, undefined, { signal });
            done.push(`${job.jobId} ${name}`);
          });
        }
        return { outputs: { attempt: ctx.attempt } };
      });
      const run = worker.run();
      await sleep(ms);
      worker.stop();
      await run;
    };
    // An attempt that was charged would fail its job.
    const submit = () => server.client.submit({ ...JOB, maxAttempts: 1, labels });
    const submitting = (async () => {
      for (let at = 0; at < RESTARTS * 3; at += 1) await submit();
    })();
    const lines = Array.from({ length: LINES }, async () => {
      for (let at = 0; at < RESTARTS / LINES; at += 1) await workFor(200 + Math.random() * 600);
    });
    await Promise.all([...lines, submitting]);
    const rest = await server.client.request<{ aiJobs: { totalCount: number } }, object>(WAITING, { labels });
    for (let left = rest.aiJobs.totalCount; left > 0; ) {
      await workFor(3_000);
      left = (await server.client.request<{ aiJobs: { totalCount: number } }, object>(WAITING, { labels })).aiJobs
        .totalCount;
    }
    const { aiJobStats } = await server.client.request<Stats, object>(STATS, { labels });
    expect(aiJobStats.byState.filter(({ count }) => count > 0)).toEqual([{ state: "COMPLETED", count: RESTARTS * 3 }]);
    expect(givenBack).toBeGreaterThan(RESTARTS / 4);
    // A step whose report was under way when its run was given back is done again; all others once.
    expect(done.length - new Set(done).size).toBeLessThanOrEqual(givenBack);
    expect(new Set(done).size).toBe(RESTARTS * 9);
  },
  tenfoldInLong(600_000),
);

const WAITING = `query ($labels: [LabelInput!]) { aiJobs(filter: { labels: $labels, states: [QUEUED, RUNNING] }) { totalCount } }`;
const STATS = `query ($labels: [LabelInput!]) { aiJobStats(filter: { labels: $labels }) { byState { state count } } }`;

interface Stats {
  readonly aiJobStats: { readonly byState: readonly { readonly state: string; readonly count: number }[] };
}
