/**
 * How long until a handler of the worker kit is told that its job was poisoned? Run with `npx tsx bench/kit-stop.ts`, after `npm run build`.
 *
 * A worker of the kit, here in this process, holds one job after the other, which a request poisons; measured from when that request is
 * sent to the handler's signal. Next to it the same on a busy server: fifty other jobs report steps meanwhile.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type JobClient } from "@ai-job-server/sdk/client";
import { createWorker } from "@ai-job-server/sdk/worker";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, quantile, table } from "./support/figures.ts";
import { startOurs } from "./support/servers.ts";

const ROUNDS = 300;
const BUSY_JOBS = 50;
const MAX_MS = 250;
const POISON = `mutation ($input: ReportSecurityViolationInput!) { reportSecurityViolation(input: $input) { __typename } }`;
const FOUND = { violationType: "PROMPT_INJECTION", guardName: "bench", trigger: "here", description: "Found." };

console.log(`## From a poisoning to the handler's signal, in the worker kit\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const server = await startOurs(url);
  try {
    await settle(sql);
    const quiet = await measure(server.url, 0);
    const busy = await measure(server.url, BUSY_JOBS);
    const cells = (times: readonly number[]) => [0.5, 0.95, 0.99].map((at) => quantile(times, at).toFixed(1));
    const rows = [
      ["nothing else", ...cells(quiet)],
      [`${BUSY_JOBS} jobs that report steps`, ...cells(busy)],
    ];
    console.log(`${table(["beside", "p50, ms", "p95", "p99"], rows)}\n`);
    console.log(bar("p99 beside nothing else, milliseconds", quantile(quiet, 0.99), { atMost: MAX_MS }));
    console.log(bar("p99 beside others, milliseconds", quantile(busy, 0.99), { atMost: MAX_MS }));
  } finally {
    await server.stop();
  }
});

/** @returns for each poisoned job, the milliseconds until its handler was told. */
async function measure(url: string, others: number): Promise<readonly number[]> {
  const client = createClient({ url });
  const began = new Map<string, () => void>();
  const stopped = new Map<string, () => void>();
  const worker = createWorker({ url, concurrency: others + 2, drainSeconds: 0 });
  worker.handle("DOC_SUMMARIZE", async (job, ctx) => {
    ctx.signal.addEventListener("abort", () => stopped.get(job.jobId)?.());
    began.get(job.jobId)?.();
    await sleep(60_000, undefined, { signal: ctx.signal });
  });
  worker.handle("DOC_EDIT", async (_job, ctx) => {
    while (!ctx.signal.aborted) await ctx.step("step", {}, () => sleep(200, undefined, { signal: ctx.signal }));
  });
  const run = worker.run();
  for (let at = 0; at < others; at += 1) await client.submit({ jobKind: "DOC_EDIT", protocolId: "bench" });
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) times.push(await once(client, began, stopped));
  worker.stop();
  await run;
  return times;
}

async function once(
  client: JobClient,
  began: Map<string, () => void>,
  stopped: Map<string, () => void>,
): Promise<number> {
  const idempotencyKey = crypto.randomUUID();
  const runAfter = new Date(Date.now() + 100).toISOString();
  // A little later, so that whoever waits for it is there before it begins.
  const { jobId } = await client.submit({ jobKind: "DOC_SUMMARIZE", protocolId: "bench", idempotencyKey, runAfter });
  const isStopped = new Promise<void>((resolve) => stopped.set(jobId, resolve));
  await new Promise<void>((resolve) => began.set(jobId, resolve));
  await sleep(20);
  const since = performance.now();
  await Promise.all([client.request(POISON, { input: { jobId, ...FOUND } }), isStopped]);
  return performance.now() - since;
}
