/**
 * How long does it take to poison a job with one run and 10 nodes, 5 of them open, compared with the same statements
 * written by hand and sent through `pg` on one connection? Run with `npx tsx bench/poison.ts`. One at a time, each on a
 * new job.
 */
import pg from "pg";
import { openDatabase } from "../src/db/open.ts";
import { newRotation } from "../src/engine.ts";
import { OutputWatch } from "../src/output/watch.ts";
import { createReportedRunsReader } from "../src/runs/lock.ts";
import { guards } from "../src/security/guards/guards.ts";
import { poisonJob, type SecurityViolation } from "../src/security/poison.ts";
import { WORKSPACE } from "../test/support/engine.ts";
import { settle, withDatabase } from "./support/database.ts";
import { bar, machine, median, quantile, table } from "./support/figures.ts";
import { addJobs } from "./support/jobs.ts";

const WARM_UP = 200;
const ROUNDS = 600;
const MAX = 4;

const violation: SecurityViolation = {
  violationType: "PROMPT_INJECTION",
  aceCode: "ACE-014",
  guardName: "PromptInjectionGuard",
  trigger: "ignore previous instructions at jobInputs.text",
  description: "A text asks to ignore what was said before it.",
  sourceId: null,
};

/** The statements of poisonJob. Values that it takes from the row that it read are computed in SQL. */
const BY_HAND = {
  lock: `SELECT * FROM ai_jobs WHERE job_id = $1 FOR NO KEY UPDATE`,
  runs: `
    UPDATE workflow_runs SET state = 'poisoned', lease_expires_at = NULL, error_message = $2, finished_at = now()
    WHERE job_id = $1 AND state IN ('running', 'awaiting_validation', 'awaiting_user', 'stalled')`,
  nodes: `
    UPDATE node_executions n SET state = 'poisoned', finished_at = now()
    FROM workflow_runs r WHERE r.id = n.workflow_run_id AND r.job_id = $1 AND n.finished_at IS NULL`,
  job: `
    WITH job AS (
      UPDATE ai_jobs j SET state = 'poisoned', status_reason = 'poisoned: prompt_injection', error_message = $2,
        job_outputs = NULL, version = j.version + 1, order_xid = greatest(current_order_xid(), j.order_xid),
        chain_hash = $3, updated_at = now(), completed_at = now(), ended_at = now()
      FROM ai_jobs was WHERE was.job_id = j.job_id AND j.job_id = $1
      RETURNING j.*, was.state AS was, was.chain_hash AS was_hash
    )
    INSERT INTO flight_recorder_events (event_id, job_id, version, order_xid, workspace_id, trace_id, workflow_run_id,
      type, actor, actor_id, state, previous_state, duration_ms, total_tokens, input_tokens, output_tokens,
      entities_read, payload, recorded_at, prev_hash, hash)
    SELECT gen_random_uuid(), job_id, version, order_xid, workspace_id, trace_id, workflow_run_id, 'security_violation',
      'system', 'workflow-engine', state, was, duration_ms, total_tokens, input_tokens, output_tokens, entities_read,
      $4, updated_at, was_hash, chain_hash
    FROM job`,
};

async function byHand(client: pg.Client, jobId: string): Promise<void> {
  const message = `${violation.guardName} (${violation.aceCode}): ${violation.description}`;
  await client.query("BEGIN");
  await client.query(BY_HAND.lock, [jobId]);
  await client.query(BY_HAND.runs, [jobId, message]);
  await client.query(BY_HAND.nodes, [jobId]);
  await client.query(BY_HAND.job, [jobId, message, "f".repeat(64), JSON.stringify(violation)]);
  await client.query("COMMIT");
}

/** Makes running jobs, each with one run of 10 nodes, 5 of them open. */
async function addRunningJobs(sql: pg.Client, count: number): Promise<string[]> {
  await addJobs(sql, count * 10);
  const { rows } = await sql.query<{ id: string }>("SELECT job_id AS id FROM ai_jobs WHERE state = 'running'");
  await sql.query(`
    INSERT INTO workflow_runs (id, workspace_id, job_id, attempt, worker_id, lease_token, lease_expires_at)
    SELECT gen_random_uuid(), workspace_id, job_id, 1, 'bench', sha256('token'), now() + interval '1 hour'
    FROM ai_jobs WHERE state = 'running'`);
  await sql.query(`
    INSERT INTO node_executions (id, workspace_id, workflow_run_id, node_id, node_type, sequence, state, finished_at)
    SELECT gen_random_uuid(), r.workspace_id, r.id, 'node-' || n, 'tool', n, v.state, v.finished_at
    FROM workflow_runs r, generate_series(1, 10) n,
      LATERAL (SELECT CASE WHEN n <= 5 THEN 'completed' ELSE 'running' END::"JobState" AS state,
        CASE WHEN n <= 5 THEN now() END AS finished_at) v`);
  return rows.map(({ id }) => id);
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Checks that neither way left a run or node open: a fast but incomplete poisoning is no comparison. */
async function assertPoisoned(sql: pg.Client, jobs: number): Promise<void> {
  const { rows } = await sql.query<{ jobs: number; runs: number; nodes: number }>(`
    SELECT (SELECT count(*)::int FROM ai_jobs WHERE state = 'poisoned') AS jobs,
      (SELECT count(*)::int FROM workflow_runs WHERE state = 'poisoned') AS runs,
      (SELECT count(*)::int FROM node_executions WHERE state = 'poisoned') AS nodes`);
  const [counted] = rows;
  if (counted?.jobs !== jobs || counted.runs !== jobs || counted.nodes !== 5 * jobs) {
    throw new Error(`Of ${jobs} jobs these were poisoned: ${JSON.stringify(counted)}`);
  }
}

/** This benchmark retries nothing. */
const NO_WAIT = { firstMs: 0, maxMs: 0 };

console.log(`## Poisoning a job with one run and 10 nodes, 5 of them open, next to the same by hand\n\n${machine()}\n`);
await withDatabase(async (url, sql) => {
  const database = await openDatabase({ kind: "postgres", url, poolSize: 10 });
  const engine = {
    prisma: database.prisma,
    notifyCommit: () => undefined,
    guards,
    guardTimeoutMs: 10_000,
    readReportedRuns: createReportedRunsReader(database.prisma),
    outputs: new OutputWatch(database.prisma),
    rotation: newRotation(),
    backoff: NO_WAIT,
    revisePreferenceMs: 0,
    progressIntervalMs: 0,
    costCurrency: "USD",
  };
  try {
    const ids = await addRunningJobs(sql, 2 * (WARM_UP + ROUNDS));
    await settle(sql);
    const rounds: { ours: number; hand: number }[] = [];
    for (let at = 0; at + 1 < ids.length; at += 2) {
      const [one = "", other = ""] = ids.slice(at);
      const ours = await milliseconds(async () => {
        const { action } = await poisonJob(engine, WORKSPACE, one, violation);
        if (action !== "POISONED") throw new Error(`${one} was not poisoned: ${action}`);
      });
      const hand = await milliseconds(() => byHand(sql, other));
      if (at >= 2 * WARM_UP) rounds.push({ ours, hand });
    }
    await assertPoisoned(sql, ids.length);
    const ours = rounds.map((round) => round.ours);
    const hand = rounds.map((round) => round.hand);
    const row = (name: string, times: readonly number[]) => [
      name,
      ...[0.5, 0.95].map((share) => quantile(times, share).toFixed(2)),
    ];
    console.log(
      `${table([`${rounds.length} jobs each`, "median, ms", "p95, ms"], [row("poisonJob", ours), row("by hand", hand)])}\n`,
    );
    console.log(bar("median latency, ours : by hand", median(ours) / median(hand), { atMost: MAX }));
  } finally {
    await database.close();
  }
});
