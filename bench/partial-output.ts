/**
 * How long does a chunk of partial output take from its commit to those who watch the job? Run with `npx tsx bench/partial-output.ts`.
 *
 * All watch one job. A chunk is appended over HTTP at the server itself, or by another server of the same database, whose chunks the
 * server looks for four times a second. Timed as in bench/live.ts.
 */
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { claimAiJobs } from "../src/claims/claim.ts";
import { openDatabase } from "../src/db/open.ts";
import { appendOutput } from "../src/output/append.ts";
import { engineOn } from "../test/support/engine.ts";
import { now } from "./live/clock.ts";
import { asked, MEASURED, moment } from "./live/sides.ts";
import { SubscriberProcess } from "./live/subscriber-process.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, quantile, table } from "./support/figures.ts";
import { addQueuedJobs, WORKSPACE } from "./support/jobs.ts";
import { post } from "./support/load.ts";
import { startOurs } from "./support/servers.ts";

const COUNTS = [1, 100, 1_000];
const CHUNKS = 20;
/** The most milliseconds from the commit to a watcher, at the 99th percentile: of its own server, and of another one. */
const MAX_P99_MS = { own: 500, other: 1_000 };
const KINDS = ["DOC_EDIT", "DOC_SUMMARIZE", "ASR_TRANSCRIBE", "SHEET_TRANSFORM"] as const;
/** Who calls on a server without auth. */
const PRINCIPAL = "anonymous";
const TEXT = "The minutes of the meeting go on for a while, and somebody reads along. ";

const QUERY = `subscription ($jobId: UUID!) { aiJobOutput(jobId: $jobId) { attempt sequence text isLast cursor } }`;
const APPEND = `mutation ($input: AppendOutputInput!) { appendOutput(input: $input) {
  ... on AppendOutputPayload { nextSequence } } }`;

console.log(`## From the commit of a chunk to who watches\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const database = await openDatabase({ kind: "postgres", url, poolSize: 4 });
  const engine = engineOn(database);
  await addQueuedJobs(sql, COUNTS.length * 8);
  await settle(sql);
  const server = await startOurs(url, [...MEASURED, "--import", "./bench/live/commits.ts"]);
  const subscribers = new SubscriberProcess();
  const agent = new Agent({ keepAlive: true });

  const take = async () => {
    const worker = { workerId: "worker", principalId: PRINCIPAL, workspaceId: WORKSPACE, leaseSeconds: 900 };
    const [claim] = (await claimAiJobs(engine, { ...worker, jobKinds: KINDS, limit: 1 })).claims;
    if (!claim) throw new Error("There are not enough jobs.");
    return { jobId: claim.job.jobId, workflowRunId: claim.run.id, leaseToken: claim.leaseToken };
  };
  type Held = Awaited<ReturnType<typeof take>>;
  const own = async ({ jobId: _job, ...proof }: Held, sequence: number): Promise<number> => {
    const input = { ...proof, chunks: [{ sequence, text: TEXT }] };
    await asked(server, "next commit");
    await post(server.url, { query: APPEND, variables: () => ({ input }), answer: '"nextSequence"' }, agent);
    return moment.parse(await asked(server, "commit")).at;
  };
  const other = async ({ jobId: _job, ...proof }: Held, sequence: number): Promise<number> => {
    const appended = await appendOutput(engine, {
      ...proof,
      principalId: PRINCIPAL,
      chunks: [{ sequence, text: TEXT }],
    });
    if (!("nextSequence" in appended)) throw new Error("A chunk was not appended.");
    return now();
  };

  try {
    const rows: string[][] = [];
    const bars: string[] = [];
    for (const count of COUNTS) {
      const cells: string[] = [];
      for (const [how, append] of Object.entries({ own, other })) {
        const held = await take();
        const watchers = Array.from({ length: count }, () => ({ jobId: held.jobId }));
        await subscribers.open(server.url, QUERY, watchers, '"text"');
        const times: number[] = [];
        for (let sequence = 1; sequence <= CHUNKS; sequence += 1) {
          await sleep(20 + Math.random() * 60);
          times.push(...(await subscribers.latencies(server.url, count, () => append(held, sequence))));
        }
        await subscribers.close(server.url);
        const p99 = quantile(times, 0.99);
        cells.push(`${quantile(times, 0.5).toFixed(1)} · ${p99.toFixed(1)}`);
        const atMost = how === "own" ? MAX_P99_MS.own : MAX_P99_MS.other;
        bars.push(bar(`p99 ms with ${count} watchers, by ${how} server`, p99, { atMost }));
      }
      rows.push([String(count), ...cells]);
    }
    const head = ["watchers, p50 · p99 ms", "appended at its own server", "by another server"];
    console.log(`${table(head, rows)}\n\n${bars.join("\n")}`);
  } finally {
    await subscribers.stop();
    await server.stop();
    await database.close();
  }
});
