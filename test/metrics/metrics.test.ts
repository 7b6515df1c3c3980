import { createClient } from "@ai-job-server/sdk/client";
import { CannotBeDone, createWorker } from "@ai-job-server/sdk/worker";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readText, sectionOf } from "../support/documents.ts";
import { HOSTILE } from "../support/jobs.ts";
import { killSpawned, post, type SpawnedServer, spawnServer } from "../support/spawn-server.ts";

/** GET /metrics, as monitoring reads it from a server that is started as a user does. */

let server: SpawnedServer;
let url: string;
beforeAll(async () => {
  server = spawnServer({ DATABASE_URL: "memory:", METRICS_PORT: "0", RECOVERY_INTERVAL_SECONDS: "1" });
  url = await server.url;
});
afterAll(killSpawned);

async function scrape(): Promise<string> {
  const [, address = ""] = /metrics on (http:[^"\s]+)/.exec(server.logged.join("\n")) ?? [];
  const response = await fetch(address);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
  return response.text();
}

/** The value of a series, such as `hsk_queue_depth{kind="doc_edit"}`; undefined where it is not there. */
function valueOf(text: string, series: string): number | undefined {
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test("what jobs do and what is refused is counted, and the queue is measured", async () => {
  const client = createClient({ url });
  const worker = createWorker({ url, concurrency: 2 })
    .handle("DOC_SUMMARIZE", async (_job, ctx) => {
      await ctx.step("call", {}, () => ({ model: "m", usage: { prompt_tokens: 100, completion_tokens: 20 } }));
    })
    .handle("DOC_EDIT", async (_job, ctx) => {
      await ctx.step("edit", {}, () => {
        throw new CannotBeDone("It is empty.");
      });
    });
  const lost = await client.submit({ jobKind: "SHEET_TRANSFORM", protocolId: "p" });
  await post(
    url,
    `mutation { startWorkflow(input: { jobId: "${lost.jobId}", workerId: "gone", leaseSeconds: 5 }) { __typename } }`,
  );
  const done = worker.run();
  const jobs = [
    { jobKind: "DOC_SUMMARIZE" as const, protocolId: "p" },
    { jobKind: "DOC_SUMMARIZE" as const, protocolId: "p" },
    { jobKind: "DOC_EDIT" as const, protocolId: "p" },
    { jobKind: "DOC_SUMMARIZE" as const, protocolId: "p", jobInputs: { text: HOSTILE } },
  ];
  const ended = await Promise.all(jobs.map((job) => client.submitAndWait(job)));
  expect(ended.map(({ state }) => state)).toEqual(["COMPLETED", "COMPLETED", "FAILED", "POISONED"]);
  worker.stop();
  await done;
  const waiting = await client.submit({ jobKind: "CANVAS_CLUSTER", protocolId: "p" });
  await client.submit({
    jobKind: "CANVAS_CLUSTER",
    protocolId: "p",
    runAfter: new Date(Date.now() + 3_600_000).toISOString(),
  });
  await expect(client.retry(waiting.jobId)).rejects.toMatchObject({ code: "ILLEGAL_TRANSITION" });
  // Its worker is gone: it is recovered when its lease has passed.
  for await (const { state, version } of client.watchJob(lost.jobId)) if (state === "QUEUED" && version > 2) break;
  // Totals are aggregated once a second.
  await vi.waitUntil(async () => valueOf(await scrape(), 'hsk_queue_depth{kind="canvas_cluster"}') === 2, {
    timeout: 20_000,
    interval: 500,
  });
  const text = await scrape();
  const values = {
    'hsk_job_latency_seconds_count{kind="doc_summarize",state="completed"}': 2,
    'hsk_job_latency_seconds_count{kind="doc_edit",state="failed"}': 1,
    'hsk_job_latency_seconds_count{kind="doc_summarize",state="poisoned"}': 1,
    'hsk_job_tokens_total{kind="doc_summarize",direction="input"}': 200,
    'hsk_job_tokens_total{kind="doc_summarize",direction="output"}': 40,
    'hsk_workflow_step_duration_seconds_count{kind="doc_summarize",outcome="succeeded"}': 2,
    'hsk_workflow_step_duration_seconds_count{kind="doc_edit",outcome="failed"}': 1,
    'hsk_lease_losses_total{kind="sheet_transform"}': 1,
    'hsk_recoveries_total{kind="sheet_transform"}': 1,
    'hsk_poisonings_total{kind="doc_summarize"}': 1,
    'hsk_refusals_total{code="ILLEGAL_TRANSITION"}': 1,
    'hsk_queue_depth{kind="doc_edit"}': 0,
    'hsk_queue_oldest_due_seconds{kind="doc_edit"}': 0,
    hsk_feed_subscribers: 0,
  };
  for (const [series, value] of Object.entries(values))
    expect([series, valueOf(text, series)]).toEqual([series, value]);
  expect(valueOf(text, 'hsk_queue_oldest_due_seconds{kind="canvas_cluster"}')).toBeGreaterThan(0);
  expect(text).toContain("nodejs_eventloop_lag_p99_seconds");
});

test("docs/operating.md lists what is there", async () => {
  const served = [...(await scrape()).matchAll(/^# TYPE (hsk_\w+)/gm)].map(([, name]) => name);
  const documented = [...sectionOf(readText("docs/operating.md"), "## Metrics").matchAll(/`(hsk_\w+)`/g)].map(
    ([, name]) => name,
  );
  // The embedded database has no pool.
  expect(new Set(documented)).toEqual(new Set([...served, "hsk_pool_connections"]));
});

test("the API's own port serves no metrics, and that of the metrics nothing else", async () => {
  expect((await fetch(new URL("/metrics", url))).status).toBe(404);
  const [, address = ""] = /metrics on (http:[^"\s]+)/.exec(server.logged.join("\n")) ?? [];
  for (const path of ["/", "/graphql", "/metrics/"]) expect((await fetch(new URL(path, address))).status).toBe(404);
  expect((await fetch(address, { method: "POST" })).status).toBe(404);
});
