/**
 * How long does aiJobUsage take over 30 days at a million jobs, and what does the aggregation cost that makes it possible?
 *
 * Loads jobs that ended in 30 days: of three kinds and two protocols, in three states, each with a call of one of three models and a
 * label with five values, the times spread as those of real jobs are. Then reads by day and by hour, by groups, with and without the percentiles; over
 * HTTP, one at a time. `npx tsx bench/usage.ts`, or with another number of jobs: `BENCH_JOBS=200000 npx tsx bench/usage.ts`
 */
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import { WORKSPACE } from "./support/jobs.ts";
import { startOurs } from "./support/servers.ts";

const JOBS = Number(process.env.BENCH_JOBS ?? 1_000_000);
const DAYS = 30;
const MAX_MS = 50;
const ROUNDS = 15;
const BATCH = 20_000;

const TIME = { from: "2026-10-01T00:00:00Z", to: "2026-10-31T00:00:00Z" };
const SUMS = "from jobs costMicros metrics { totalTokens inputTokens outputTokens durationMs }";
const TIMES = "queueMsP50 queueMsP95 runMsP50 runMsP95";

/** What is asked. The first is the bar's. */
const QUESTIONS: readonly { readonly what: string; readonly args: string; readonly fields: string }[] = [
  { what: "30 days by DAY", args: "interval: DAY", fields: SUMS },
  { what: "30 days by DAY, percentiles", args: "interval: DAY", fields: `${SUMS} ${TIMES}` },
  { what: "30 days by DAY and KIND, STATE", args: "interval: DAY, groupBy: [KIND, STATE]", fields: SUMS },
  {
    what: "30 days by DAY and KIND, STATE, percentiles",
    args: "interval: DAY, groupBy: [KIND, STATE]",
    fields: `${SUMS} ${TIMES}`,
  },
  { what: "30 days by DAY and MODEL", args: "interval: DAY, groupBy: [MODEL]", fields: SUMS },
  { what: "30 days by DAY and LABEL", args: 'interval: DAY, groupBy: [LABEL], labelKey: "team"', fields: SUMS },
  { what: "30 days by HOUR", args: "interval: HOUR", fields: SUMS },
  {
    what: "30 days by HOUR and STATE, percentiles",
    args: "interval: HOUR, groupBy: [STATE]",
    fields: `${SUMS} ${TIMES}`,
  },
];

const STATE = `(CASE WHEN n % 20 < 17 THEN 'completed' WHEN n % 20 < 19 THEN 'failed' ELSE 'cancelled' END)::"JobState"`;
/** From a hash, so that it is the same in every run: log-normal, as times are, with a median of 2 s in the queue and 20 s at work. */
const spread = (salt: string, middle: number) =>
  `(interval '1 second' * ${middle} * exp(sqrt(-2 * ln(greatest((hashint4(n # ${salt}) & 65535) / 65536.0, 0.0001))) * cos(2 * pi() * ((hashint4(n # ${salt}) >> 16) & 32767) / 32768.0)))`;

const ADD = `
  WITH new AS MATERIALIZED (
    SELECT *, made + ${spread("1", 2)} AS began, made + ${spread("1", 2)} + ${spread("2", 20)} AS ended
    FROM (
      SELECT n, gen_random_uuid() AS job_id, gen_random_uuid() AS run_id, timestamptz '2026-10-01 00:00:00+00' + (n % ${JOBS}) * $4::interval AS made,
        (enum_range(NULL::"JobKind"))[1 + n % 3] AS kind, (ARRAY['summarise', 'research'])[1 + n / 3 % 2] AS protocol,
        (ARRAY['gpt-5', 'gpt-5-mini', 'local'])[1 + n / 6 % 3] AS model, 500 + n % 1500 AS input, 50 + n % 300 AS output
      FROM generate_series($2::int, $3::int) AS n
    ) AS made
  ), job AS (
    INSERT INTO ai_jobs (job_id, workspace_id, trace_id, job_kind, state, status_reason, protocol_id, profile_id,
      capability_profile_id, submit_hash, submitted_by, label_count, version, attempt, order_xid, chain_hash, total_tokens, input_tokens, output_tokens,
      cost_micros, created_at, updated_at, ended_at, completed_at)
    SELECT job_id, $1, gen_random_uuid(), kind, ${STATE}, 'ended', protocol, 'default', 'default', repeat('a', 64), 'bench', 1, 3, 1, current_order_xid(), repeat('b', 64),
      input + output, input, output, input + 8 * output, made, ended, ended, CASE WHEN ${STATE} <> 'failed' THEN ended END
    FROM new
  ), label AS (
    INSERT INTO job_labels (workspace_id, job_id, key, value, created_at) SELECT $1, job_id, 'team', 'team-' || n / 18 % 5, made FROM new
  ), entry AS (
    INSERT INTO usage_entries (id, workspace_id, job_id, version, order_xid, workflow_run_id, capability_profile_id, provider, model, input_tokens,
      cached_input_tokens, output_tokens, reasoning_tokens, cost_micros, calls, recorded_at)
    SELECT gen_random_uuid(), $1, job_id, 3, current_order_xid(), run_id, 'default', 'provider', model, input, 0, output, 0, input + 8 * output, 1, ended FROM new
  )
  INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, type, actor, actor_id, state, previous_state,
    total_tokens, input_tokens, output_tokens, recorded_at, prev_hash, hash)
  SELECT gen_random_uuid(), job_id, version, current_order_xid(), $1, job_id, type::"RecorderEventType", 'agent', 'bench', state, previous, tokens * (input + output),
    tokens * input, tokens * output, at, repeat('0', 64), repeat('b', 64)
  FROM new, LATERAL (VALUES (1, 'job_submitted', 'queued'::"JobState", NULL::"JobState", made, 0), (2, 'state_changed', 'running', 'queued', began, 0),
    (3, 'state_changed', ${STATE}, 'running', ended, 1)) AS event(version, type, state, previous, at, tokens)`;

console.log(`## Usage at ${JOBS} jobs\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const server = await startOurs(url);
  try {
    await declare(server.url);
    const loading = performance.now();
    for (let first = 0; first < JOBS; first += BATCH) await addEnded(sql, first, Math.min(first + BATCH, JOBS) - 1);
    const loaded = performance.now();
    const events = await aggregated(sql);
    console.log(
      `Loaded in ${seconds(loaded - loading)} s; the aggregation, which had begun meanwhile, came to the end of ${events} events ` +
        `${seconds(performance.now() - loaded)} s later.`,
    );
    await settle(sql);
    console.log(`\n${await foldingCosts(sql)}\n`);
    const { rows } = await sql.query<{ rows: string; size: string }>(
      "SELECT count(*) AS rows, pg_size_pretty(pg_total_relation_size('usage_intervals')) AS size FROM usage_intervals",
    );
    console.log(`usage_intervals has ${rows[0]?.rows} rows, ${rows[0]?.size}.\n`);
    const measured: string[][] = [];
    let first = Number.NaN;
    for (const { what, args, fields } of QUESTIONS) {
      const times: number[] = [];
      let count = 0;
      for (let round = 0; round <= ROUNDS; round += 1) {
        const start = performance.now();
        count = await ask(server.url, args, fields);
        if (round > 0) times.push(performance.now() - start);
      }
      if (measured.length === 0) first = median(times);
      measured.push([
        what,
        String(count),
        median(times).toFixed(1),
        Math.min(...times).toFixed(1),
        quantile(times, 0.95).toFixed(1),
      ]);
    }
    console.log(table(["aiJobUsage", "rows", "median, ms", "least", "p95"], measured));
    console.log(`\n${bar("30 days by DAY, milliseconds", first, { atMost: MAX_MS })}`);
  } finally {
    await server.stop();
  }
});

/** Resolves when the aggregation has reached the end of the log. @returns how many events there are. */
async function aggregated(sql: pg.Client): Promise<string> {
  for (;;) {
    const { rows } = await sql.query(`
      SELECT version FROM flight_recorder_events
      WHERE (order_xid, job_id, version) > (SELECT order_xid, job_id, version FROM totals_position WHERE singleton)
      ORDER BY order_xid, job_id, version LIMIT 1`);
    if (rows.length === 0) break;
    await sleep(100);
  }
  const { rows } = await sql.query<{ events: string }>("SELECT count(*) AS events FROM flight_recorder_events");
  return rows[0]?.events ?? "";
}

/** Loads more while nothing is aggregated, and measures how fast that is made up for. */
async function foldingCosts(sql: pg.Client): Promise<string> {
  const before = Number(
    (await sql.query<{ events: string }>("SELECT count(*) AS events FROM flight_recorder_events")).rows[0]?.events,
  );
  await sql.query("BEGIN");
  await sql.query("SELECT * FROM totals_position FOR UPDATE");
  await addEnded(sql, JOBS, JOBS + BATCH - 1, false);
  await sql.query("COMMIT");
  const start = performance.now();
  const events = Number(await aggregated(sql)) - before;
  return `Aggregated ${events} events in ${seconds(performance.now() - start)} s: ${((events / (performance.now() - start)) * 1000).toFixed(0)} a second.`;
}

async function declare(url: string): Promise<void> {
  const query = `mutation { setUsageLabels(input: { keys: ["team"] }) { __typename } }`;
  const answer = await send(url, query);
  if (!answer.includes("SetUsageLabelsPayload")) throw new Error(answer);
}

async function ask(url: string, args: string, fields: string): Promise<number> {
  const answer = await send(url, `{ aiJobUsage(from: "${TIME.from}", to: "${TIME.to}", ${args}) { ${fields} } }`);
  const rows = answer.split('"from"').length - 1;
  if (rows < DAYS) throw new Error(`It answered ${answer.slice(0, 500)}`);
  return rows;
}

async function send(url: string, query: string): Promise<string> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
  return response.text();
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}

/** Inserts jobs with their events, a call of a model and a label each, by plain SQL, past every trigger. */
async function addEnded(sql: pg.Client, first: number, last: number, inOwnTransaction = true): Promise<void> {
  if (inOwnTransaction) await sql.query("BEGIN");
  await sql.query("SET LOCAL session_replication_role = replica");
  await sql.query(ADD, [WORKSPACE, first, last, `${(DAYS * 86_400) / JOBS} seconds`]);
  if (inOwnTransaction) await sql.query("COMMIT");
}
