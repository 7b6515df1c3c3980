/**
 * How many jobs per second do workers claim and complete over HTTP, compared with pg-boss as a library on the same
 * PostgreSQL? How many statements does a job cost, and how much slower is a claim from a long queue? Run with `npx tsx
 * bench/claim.ts`.
 *
 * pg-boss marks a row and deletes no history. A claim here leases with a token, checks capabilities, guards the inputs,
 * and writes a run and an event; a completion adds metrics, checks access mode and budget, and writes another event.
 *
 * The same number of jobs waits in each queue, because the cost of a claim can depend on it: pg-boss 10 sorts all
 * waiting jobs for each fetch.
 */
import { Agent } from "node:http";
import type pg from "pg";
import { z } from "zod";
import { claimAiJobs } from "../src/claims/claim.ts";
import type { Claimed } from "../src/claims/request.ts";
import { JobKind } from "../src/db/generated/client/enums.ts";
import { openDatabase } from "../src/db/open.ts";
import type { EngineContext } from "../src/engine.ts";
import { NO_METRICS } from "../src/jobs/metrics.ts";
import { completeWorkflows } from "../src/runs/complete.ts";
import { engineOn } from "../test/support/engine.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import { addQueuedJobs, WORKSPACE } from "./support/jobs.ts";
import { post } from "./support/load.ts";
import { startOurs, startQueue } from "./support/servers.ts";

const ROUNDS = 7;

const QUESTIONS = [
  { name: "100 at once, 4 workers", jobs: 4_000, limit: 100, workers: 4, atLeast: 0.5 },
  { name: "one by one, 8 workers", jobs: 400, limit: 1, workers: 8, atLeast: 1 },
];

/** How many jobs wait in each queue besides those that a round claims. The limits are checked at the last number. */
const WAITING = [0, 10_000, 20_000, 50_000];
/** All kinds except terminal_exec, for which the profile of the loaded jobs does not suffice. */
const KINDS = Object.values(JobKind).filter((kind) => kind !== "TERMINAL_EXEC");

const CLAIM = `mutation ($input: ClaimAiJobsInput!) { claimAiJobs(input: $input) { ... on ClaimAiJobsPayload {
  claims { leaseToken workflowRun { workflowRunId } job { jobId jobKind jobInputs } } } } }`;
const COMPLETE = `mutation ($input: CompleteWorkflowsInput!) { completeWorkflows(input: $input) {
  ... on CompleteWorkflowsPayload { results { __typename } } } }`;

const claimed = z.object({
  data: z.object({
    claimAiJobs: z.object({
      claims: z.array(z.object({ leaseToken: z.string(), workflowRun: z.object({ workflowRunId: z.string() }) })),
    }),
  }),
});

/** Claims this many jobs in this process. */
function claim(engine: EngineContext, limit: number): Promise<Claimed> {
  return claimAiJobs(engine, { workerId: "bench", leaseSeconds: 60, workspaceId: WORKSPACE, jobKinds: KINDS, limit });
}

/** Claims and completes this many jobs over HTTP. @returns jobs per second. */
async function round(url: string, jobs: number, limit: number, workers: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: workers });
  const start = performance.now();
  let done = 0;
  const worker = async (_: unknown, index: number) => {
    while (done < jobs) {
      const input = { workerId: `worker-${index}`, limit, leaseSeconds: 60, jobKinds: KINDS };
      const answer = await post(url, { query: CLAIM, variables: () => ({ input }), answer: '"claims"' }, agent);
      const { claims } = claimed.parse(JSON.parse(answer)).data.claimAiJobs;
      if (claims.length === 0) return;
      const completions = claims.map(({ leaseToken, workflowRun }) => ({
        ...workflowRun,
        leaseToken,
        jobOutputs: { ok: true },
        metrics: { durationMs: 12, inputTokens: 100, outputTokens: 20 },
      }));
      const operation = { query: COMPLETE, variables: () => ({ input: { completions } }), answer: "CompletedWorkflow" };
      await post(url, operation, agent);
      done += claims.length;
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  agent.destroy();
  return done / ((performance.now() - start) / 1000);
}

/** Submits jobs until at least this many of the kinds wait in our queue. */
async function fillTo(sql: pg.Client, waiting: number): Promise<void> {
  const kinds = KINDS.map((kind) => kind.toLowerCase());
  const { rows } = await sql.query<{ there: number }>(
    `SELECT count(*)::int AS there FROM ai_jobs WHERE state = 'queued' AND job_kind = ANY($1::text[]::"JobKind"[])`,
    [kinds],
  );
  const lacking = Math.max(0, waiting - (rows[0]?.there ?? 0));
  // They are made of every kind in rotation, and the workers do not claim one of the kinds.
  await addQueuedJobs(sql, Math.ceil((lacking * (KINDS.length + 1)) / KINDS.length));
}

/**
 * Sends two requests per job that are refused before any statement: the cost of HTTP alone. @returns jobs per second.
 */
async function withoutDatabase(url: string, jobs: number, workers: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: workers });
  const start = performance.now();
  let left = 2 * jobs;
  const operation = { query: COMPLETE, variables: () => ({ input: { completions: [] } }), answer: '"data"' };
  const worker = async () => {
    while (left-- > 0) await post(url, operation, agent);
  };
  await Promise.all(Array.from({ length: workers }, worker));
  agent.destroy();
  return jobs / ((performance.now() - start) / 1000);
}

console.log(`## Taking and completing jobs, next to pg-boss\n\n${machine()}\n`);

await withDatabase(async (url, sql) => {
  const ours = await startOurs(url);
  const ten = await startQueue(url, "pg-boss-10");
  const newest = await startQueue(url, "pg-boss");
  try {
    for (const waiting of WAITING) {
      for (const { name, jobs, limit, workers, atLeast } of QUESTIONS) {
        const all = async () => {
          await fillTo(sql, waiting + jobs);
          return {
            ours: await round(ours.url, jobs, limit, workers),
            ten: await ten.round(jobs, limit, workers, waiting),
            newest: await newest.round(jobs, limit, workers, waiting),
            bare: limit === 1 ? await withoutDatabase(ours.url, jobs, workers) : Number.NaN,
          };
        };
        await all();
        // After the first round, so that no plan was made for empty tables.
        await settle(sql);
        const rounds: Awaited<ReturnType<typeof all>>[] = [];
        for (let at = 0; at < ROUNDS; at++) rounds.push(await all());
        const rate = (of: "ours" | "ten" | "newest" | "bare") => median(rounds.map((one) => one[of])).toFixed(0);
        const ratio = (of: "ten" | "newest") => median(rounds.map((one) => one.ours / one[of]));
        const title = `${name}, ${waiting} more waiting`;
        const head = [title, "ours, jobs/s", "pg-boss 10", "ratio", "pg-boss 12", "ratio"];
        const row = [
          "",
          rate("ours"),
          rate("ten"),
          ratio("ten").toFixed(2),
          rate("newest"),
          ratio("newest").toFixed(2),
        ];
        console.log(`${table(head, [row])}\n`);
        if (limit === 1) console.log(`The same requests, refused before the database: ${rate("bare")} jobs/s\n`);
        if (waiting === WAITING.at(-1))
          console.log(`${bar(`${title}, ours : pg-boss 10`, ratio("ten"), { atLeast })}\n`);
      }
    }
  } finally {
    await ten.stop();
    await newest.stop();
    await ours.stop();
  }
});

await withDatabase(async (url, sql) => {
  let statements = 0;
  const database = await openDatabase({ kind: "postgres", url, poolSize: 10 }, () => {
    statements += 1;
  });
  const engine = engineOn(database);
  const counted = async <T>(work: () => Promise<T>) => {
    statements = 0;
    const value = await work();
    return { value, statements };
  };
  try {
    await addQueuedJobs(sql, 10_000);
    await settle(sql);
    const rows: string[][] = [];
    for (const limit of [1, 10, 100]) {
      const taken = await counted(() => claim(engine, limit));
      const completions = taken.value.claims.map(({ run, leaseToken }) => {
        const metrics = { ...NO_METRICS, inputTokens: 100 };
        return { workflowRunId: run.id, leaseToken, jobOutputs: null, writtenEntities: [], issues: [], metrics };
      });
      const done = await counted(() => completeWorkflows(engine, completions));
      rows.push([`${limit}`, `${taken.statements}`, `${done.statements}`]);
    }
    console.log(`${table(["jobs of a batch", "statements of the claim", "of the completion"], rows)}\n`);
    const spread = (column: number) => Math.max(...rows.map((row) => Number(row[column]))) / Number(rows[0]?.[column]);
    console.log(bar("statements of a claim of 100 : of 1", spread(1), { atMost: 1 }));
    console.log(`${bar("statements of a completion of 100 : of 1", spread(2), { atMost: 1 })}\n`);
  } finally {
    await database.close();
  }
});

/** The number of alternating rounds, of which the first is a warm-up, and the number of claims for each size in one. */
const TURNS = 9;
const SIZES = [
  { limit: 1, times: 12 },
  { limit: 100, times: 4 },
];

/**
 * A queue of this many jobs in its own database. @returns the milliseconds of each of several claims, one after
 * another.
 */
async function withQueue(
  jobs: number,
  work: (claims: (limit: number, times: number) => Promise<number[]>) => Promise<void>,
): Promise<void> {
  await withDatabase(async (url, sql) => {
    const database = await openDatabase({ kind: "postgres", url, poolSize: 10 });
    try {
      await addQueuedJobs(sql, jobs);
      await settle(sql);
      const engine = engineOn(database);
      await work(async (limit, times) => {
        const taken: number[] = [];
        for (let at = 0; at < times; at++) {
          const start = performance.now();
          await claim(engine, limit);
          taken.push(performance.now() - start);
        }
        return taken;
      });
    } finally {
      await database.close();
    }
  });
}

await withQueue(500_000, (long) =>
  withQueue(10_000, async (short) => {
    const rows: string[][] = [];
    const bars: string[] = [];
    for (const { limit, times } of SIZES) {
      const rounds: { short: number[]; long: number[] }[] = [];
      for (let at = 0; at < TURNS; at++) {
        rounds.push({ short: await short(limit, times), long: await long(limit, times) });
      }
      rounds.shift();
      const all = (of: "short" | "long") => rounds.flatMap((round) => round[of]);
      const cell = (of: "short" | "long") => `${median(all(of)).toFixed(2)} · ${quantile(all(of), 0.95).toFixed(2)}`;
      const ratio = median(rounds.map((round) => median(round.long) / median(round.short)));
      rows.push([`${limit}`, cell("short"), cell("long"), ratio.toFixed(2)]);
      bars.push(bar(`a claim of ${limit}, times as long`, ratio, { atMost: 1.3 }));
    }
    console.log(table(["claim of", "10,000 queued, p50 · p95 ms", "500,000 queued", "times as long"], rows));
    console.log(`\n${bars.join("\n")}`);
  }),
);
