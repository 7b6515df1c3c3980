/**
 * How long does a stop take from its commit to the worker that holds the run? Run with `npx tsx bench/push-stop.ts`.
 *
 * Each worker has a stream of its own, and holds a run. A run is cancelled over HTTP from the server itself, or by another server of
 * the same database, and only its own worker is told. Timed as in bench/live.ts.
 */
import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { claimAiJobs } from "../src/claims/claim.ts";
import { openDatabase } from "../src/db/open.ts";
import { cancelAiJob } from "../src/jobs/cancel.ts";
import { CommitNotifier } from "../src/live/notifier.ts";
import { postgresTransport } from "../src/live/notifier-postgres.ts";
import { humanFor } from "../src/log/event.ts";
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
/** The stops of each row: enough for a p99. */
const STOPS = 100;
/** The most milliseconds from the commit to the worker, at the 99th percentile. */
const MAX_P99_MS = 100;
/** More than half of the jobs that the benchmark loads are of these, and their workers need no special profile. */
const KINDS = ["DOC_EDIT", "DOC_SUMMARIZE", "ASR_TRANSCRIBE", "SHEET_TRANSFORM"] as const;
/** Who calls on a server without auth. */
const PRINCIPAL = "anonymous";

const QUERY = `subscription ($workerId: String!) { workerDirectives(workerId: $workerId) {
  workflowRunId jobId directive cursor } }`;
const CANCEL = `mutation ($jobId: UUID!) { cancelAiJob(input: { jobId: $jobId, reason: "bench" }) {
  ... on CancelAiJobPayload { job { state } } } }`;

console.log(`## From the commit of a stop to its worker\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const database = await openDatabase({ kind: "postgres", url, poolSize: 4 });
  const notifier = new CommitNotifier(postgresTransport(url), { onChange: () => undefined });
  let committedAt = Number.NaN;
  const engine = engineOn(database, {
    notifyCommit: () => {
      committedAt = now();
      notifier.notify();
    },
  });
  await addQueuedJobs(sql, COUNTS.length * 2 * STOPS * 2);
  await settle(sql);
  const server = await startOurs(url, [...MEASURED, "--import", "./bench/live/commits.ts"]);
  const subscribers = new SubscriberProcess();
  const agent = new Agent({ keepAlive: true });

  /** Claims a job for a worker. @returns the job's id. */
  const take = async (workerId: string): Promise<string> => {
    const worker = { workerId, principalId: PRINCIPAL, workspaceId: WORKSPACE, leaseSeconds: 900 };
    const { claims } = await claimAiJobs(engine, { ...worker, jobKinds: KINDS, limit: 1 });
    const [claim] = claims;
    if (!claim) throw new Error("There are not enough jobs.");
    return claim.job.jobId;
  };
  const overHttp = async (jobId: string): Promise<number> => {
    await asked(server, "next commit");
    await post(server.url, { query: CANCEL, variables: () => ({ jobId }), answer: '"CANCELLED"' }, agent);
    return moment.parse(await asked(server, "commit")).at;
  };
  const byAnother = async (jobId: string): Promise<number> => {
    await cancelAiJob(engine, WORKSPACE, humanFor(PRINCIPAL), { jobId, reason: "bench" });
    return committedAt;
  };

  try {
    const rows: string[][] = [];
    const bars: string[] = [];
    for (const count of COUNTS) {
      const workers = Array.from({ length: count }, (_, at) => `worker ${at} of ${count}`);
      const listeners = workers.map((workerId) => ({ workerId }));
      const cells: string[] = [];
      for (const [how, stop] of Object.entries({ "over HTTP": overHttp, "by another server": byAnother })) {
        const times: number[] = [];
        // They begin with nothing: the stops so far were of other workers, or are over before the first listens.
        const jobIds: string[] = [];
        for (let at = 0; at < STOPS; at += 1) jobIds.push(await take(`${workers[(at * 377) % count]} ${how}`));
        const named = listeners.map(({ workerId }) => ({ workerId: `${workerId} ${how}` }));
        await subscribers.open(server.url, QUERY, named, '"directive"');
        for (const jobId of jobIds) {
          await sleep(10 + Math.random() * 20);
          times.push(...(await subscribers.latencies(server.url, 1, () => stop(jobId))));
        }
        await subscribers.close(server.url);
        const p99 = quantile(times, 0.99);
        cells.push(`${quantile(times, 0.5).toFixed(1)} · ${p99.toFixed(1)}`);
        bars.push(bar(`p99 ms with ${count} workers, ${how}`, p99, { atMost: MAX_P99_MS }));
      }
      rows.push([String(count), ...cells]);
    }
    console.log(`${table(["workers, p50 · p99 ms", "over HTTP", "by another server"], rows)}\n\n${bars.join("\n")}`);
  } finally {
    await subscribers.stop();
    await server.stop();
    await notifier.close();
    await database.close();
  }
});
