/**
 * What does an action on 100,000 jobs take, and what do others wait meanwhile? Run with `npx tsx bench/bulk.ts`.
 *
 * One request cancels all; another client submits jobs all the while, one after the other.
 */
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { settle, withDatabase } from "./support/database.ts";
import { machine, quantile, table } from "./support/figures.ts";
import { addQueuedJobs } from "./support/jobs.ts";
import { post } from "./support/load.ts";
import { startOurs } from "./support/servers.ts";

const JOBS = 100_000;
const QUIET_MS = 5_000;

const submit = `mutation { submitAiJob(input: { jobKind: DOC_EDIT, protocolId: "other" }) {
  ... on SubmitAiJobPayload { job { jobId } } } }`;
const cancel = `mutation { cancelAiJobs(input: { filter: { protocolId: "bench" }, reason: "enough", limit: ${JOBS} }) {
  ... on CancelAiJobsPayload { bulkAction { id total } } } }`;
const progress = `query ($id: ID!) { node(id: $id) { ... on BulkAction { succeeded finishedAt } } }`;
const begun = z.object({
  data: z.object({ cancelAiJobs: z.object({ bulkAction: z.object({ id: z.string(), total: z.literal(JOBS) }) }) }),
});
const looked = z.object({ data: z.object({ node: z.object({ finishedAt: z.string().nullable() }) }) });

console.log(`## One action on ${JOBS} jobs\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const server = await startOurs(url);
  const agent = new Agent({ keepAlive: true });
  const ask = (query: string, answer: string, variables: object = {}) =>
    post(server.url, { query, variables: () => variables, answer }, agent);
  try {
    await addQueuedJobs(sql, JOBS);
    await settle(sql);
    let isOver = false;
    let waits: number[] = [];
    const others = (async () => {
      while (!isOver) {
        const since = performance.now();
        await ask(submit, '"jobId"');
        waits.push(performance.now() - since);
      }
    })();
    await sleep(QUIET_MS);
    const before = waits;
    waits = [];
    const since = performance.now();
    const { id } = begun.parse(JSON.parse(await ask(cancel, '"total"'))).data.cancelAiJobs.bulkAction;
    const answeredMs = performance.now() - since;
    const isFinished = async () =>
      looked.parse(JSON.parse(await ask(progress, '"finishedAt"', { id }))).data.node.finishedAt !== null;
    while (!(await isFinished())) await sleep(500);
    const finishedMs = performance.now() - since;
    isOver = true;
    await others;
    const row = (name: string, all: readonly number[]) => [
      name,
      quantile(all, 0.5).toFixed(1),
      quantile(all, 0.99).toFixed(1),
      Math.max(...all).toFixed(1),
    ];
    console.log(
      table(["submits of others, ms", "median", "p99", "longest"], [row("before", before), row("meanwhile", waits)]),
    );
    console.log(
      `\nanswered after ${(answeredMs / 1000).toFixed(1)} s, finished after ${(finishedMs / 1000).toFixed(1)} s: ` +
        `${Math.round((JOBS * 1000) / finishedMs)} jobs a second`,
    );
  } finally {
    agent.destroy();
    await server.stop();
  }
});
