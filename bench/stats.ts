/**
 * Is aiJobStats as fast with a million jobs as with ten thousand, and what does the aggregation cost that makes this possible?
 *
 * Reads aiJobStats over HTTP from a server with few jobs and from one with many, and compares it with a statement that
 * counts the jobs themselves. Then measures submits per second while the aggregation runs, and while it is blocked.
 * `npx tsx bench/stats.ts`, or with another number of jobs than a million: `BENCH_JOBS=200000 npx tsx bench/stats.ts`
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { cells, compare, head } from "./support/compare.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, table } from "./support/figures.ts";
import { addJobs, WORKSPACE } from "./support/jobs.ts";
import { load } from "./support/load.ts";
import { startOurs } from "./support/servers.ts";

const FEW = 10_000;
const MANY = Number(process.env.BENCH_JOBS ?? 1_000_000);
const MAX_TIMES = 1.3;
const ROUNDS = 7;

const stats = {
  query: `{ aiJobStats { total byState { state count } byKind { jobKind count } metrics { totalTokens durationMs } } }`,
  variables: () => ({}),
  answer: '"total":',
};
const submit = {
  query: `mutation ($input: SubmitAiJobInput!) { submitAiJob(input: $input) { ... on SubmitAiJobPayload { job { jobId } } } }`,
  variables: () => ({
    input: { jobKind: "DOC_SUMMARIZE", protocolId: "bench", jobInputs: { text: "what to work on" } },
  }),
  answer: '"job":{"jobId":"',
};

const COUNT = `
  SELECT job_kind, state, count(*), sum(duration_ms), sum(total_tokens), sum(input_tokens), sum(output_tokens),
    sum(tokens_planner), sum(tokens_executor), sum(entities_read), sum(entities_written), sum(validators_run_count)
  FROM ai_jobs WHERE workspace_id = $1 GROUP BY job_kind, state`;

console.log(`## Statistics at ${FEW} and at ${MANY} jobs\n\n${machine()}\n`);
await withDatabase((fewUrl, fewSql) =>
  withDatabase(async (manyUrl, manySql) => {
    const few = await startOurs(fewUrl);
    const many = await startOurs(manyUrl);
    try {
      await addJobs(fewSql, FEW);
      const loading = performance.now();
      await addJobs(manySql, MANY);
      const loaded = performance.now();
      await aggregated(manySql);
      const { rows } = await manySql.query<{ events: number }>(
        "SELECT count(*)::int AS events FROM flight_recorder_events",
      );
      console.log(
        `Loaded in ${seconds(loaded - loading)} s; the aggregation had come to the end of ${rows[0]?.events} events ` +
          `${seconds(performance.now() - loaded)} s later.\n`,
      );
      await aggregated(fewSql);
      await settle(fewSql);
      await settle(manySql);

      const one = { server: few, operation: stats };
      const compared = await compare(one, { server: many, operation: stats }, ROUNDS, 1_000);
      const title = head("16 connections", `${FEW} jobs`, `${MANY} jobs`);
      console.log(table(title, [["aiJobStats", ...cells(compared)]]));
      console.log(`\n${bar(`times as long with ${MANY} jobs`, compared.ratio, { atMost: MAX_TIMES })}\n`);

      const rounds: { counting: number; ours: number }[] = [];
      for (let round = 0; round <= ROUNDS; round += 1) {
        const counting = await timed(() => manySql.query(COUNT, [WORKSPACE]));
        rounds.push({ counting, ours: await timed(() => asked(many.url)) });
      }
      rounds.shift();
      const [counting, ours] = [median(rounds.map((each) => each.counting)), median(rounds.map((each) => each.ours))];
      const cell = [`${ours.toFixed(1)}`, `${counting.toFixed(1)}`, (counting / ours).toFixed(0)];
      console.log(table([`${MANY} jobs, one at a time`, "aiJobStats, ms", "counting, ms", "times"], [["", ...cell]]));

      const pairs: { aggregating: number; not: number }[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const not = await keptFromFolding(manySql, () => load(many.url, submit, 3_000));
        const aggregating = await load(many.url, submit, 3_000);
        pairs.push({ aggregating: aggregating.perSecond, not: not.perSecond });
      }
      const row = [
        median(pairs.map(({ aggregating }) => aggregating)).toFixed(0),
        median(pairs.map(({ not }) => not)).toFixed(0),
        median(pairs.map(({ aggregating, not }) => aggregating / not)).toFixed(2),
      ];
      console.log(
        `\n${table(["submits/s, 16 connections", "while it aggregates", "without", "ratio"], [["", ...row]])}`,
      );
    } finally {
      await Promise.all([few.stop(), many.stop()]);
    }
  }),
);

/** Resolves when the aggregation has reached the end of the log. */
async function aggregated(sql: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await sql.query(`
      SELECT version FROM flight_recorder_events
      WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
      ORDER BY order_xid, job_id, version LIMIT 1`);
    if (rows.length === 0) return;
    await sleep(50);
  }
}

/** Does `work` while the row is locked that every aggregation locks first: no aggregation can run. */
async function keptFromFolding<T>(sql: pg.Client, work: () => Promise<T>): Promise<T> {
  await sql.query("BEGIN");
  try {
    await sql.query("SELECT * FROM totals_position FOR UPDATE");
    return await work();
  } finally {
    await sql.query("COMMIT");
  }
}

async function asked(url: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query: stats.query }) });
  const answer = await response.text();
  if (!answer.includes(`"total":${MANY}`)) throw new Error(`It answered ${answer.slice(0, 500)}`);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}
