import { randomUUID } from "node:crypto";
import type { PrismaClient } from "../../src/db/generated/client/client.ts";
import { METRIC_NAMES } from "../../src/db/job-columns.ts";
import { snakeCase } from "../../src/db/rows.ts";
import { sqlState } from "../../src/db/sql-state.ts";
import type { Transaction } from "../../src/db/transaction.ts";
import { WORKSPACE } from "./engine.ts";
import type { StateWord } from "./transition-table.ts";

/**
 * Jobs, runs, nodes and events written by plain SQL, as a program other than the server could write them. By default
 * each function writes what the database accepts; a test replaces single columns by other SQL expressions.
 */

export type Columns = Readonly<Record<string, string>>;

export interface Otherwise {
  readonly job?: Columns;
  readonly event?: Columns;
}

/** A workspace without jobs. */
export const OTHER_WORKSPACE = "00000000-0000-7000-8000-000000000001";

export async function addOtherWorkspace(prisma: PrismaClient): Promise<void> {
  await prisma.workspace.create({ data: { workspaceId: OTHER_WORKSPACE } });
}

/** The state changes by which a job reaches each state. */
const STATE_PATH = {
  queued: [],
  running: ["running"],
  stalled: ["running", "stalled"],
  awaiting_validation: ["running", "awaiting_validation"],
  awaiting_user: ["running", "awaiting_validation", "awaiting_user"],
  completed: ["running", "completed"],
  completed_with_issues: ["running", "completed_with_issues"],
  failed: ["failed"],
  cancelled: ["cancelled"],
  poisoned: ["poisoned"],
} as const satisfies Record<StateWord, readonly StateWord[]>;

const TERMINAL_STATES: readonly StateWord[] = ["completed", "completed_with_issues", "cancelled", "poisoned"];
const ENDED_STATES: readonly StateWord[] = [...TERMINAL_STATES, "failed"];
const STATES_WITH_OUTPUTS: readonly StateWord[] = [
  "awaiting_validation",
  "awaiting_user",
  "completed",
  "completed_with_issues",
];

/** The columns of the metrics, in the words of the database. */
export const METRICS: readonly string[] = METRIC_NAMES.map(snakeCase);

/**
 * A hash derived from a job's version. The database checks that hashes form a chain, not what they are computed from.
 */
function hashOf(version: string): string {
  return `encode(sha256((job_id::text || ' ' || (${version})::text)::bytea), 'hex')`;
}

/** Inserts a new job as `queued`, with its event. */
export async function insertJob(tx: Transaction, jobId: string, otherwise: Otherwise = {}): Promise<void> {
  for (const sql of insertedJob(jobId, otherwise)) await tx.$executeRawUnsafe(sql);
}

/** The columns that a job takes over from its parent. */
export function childOf(parentId: string): Columns {
  const parent = (column: string) => `(SELECT ${column} FROM ai_jobs WHERE job_id = '${parentId}')`;
  return {
    parent_job_id: `'${parentId}'`,
    root_job_id: parent("coalesce(root_job_id, job_id)"),
    workspace_id: parent("workspace_id"),
    trace_id: parent("trace_id"),
  };
}

/** Inserts `count` children of a job, each with its event, in two statements. */
export async function insertChildren(
  tx: Transaction,
  parentId: string,
  count: number,
  otherwise: Columns = {},
): Promise<void> {
  const ids = `SELECT gen_random_uuid() AS job_id FROM generate_series(1, ${count})`;
  await tx.$executeRawUnsafe(insertedRows(ids, { ...childOf(parentId), ...otherwise }));
  const without = "NOT EXISTS (SELECT FROM flight_recorder_events e WHERE e.job_id = j.job_id)";
  await tx.$executeRawUnsafe(insertedEvents(`parent_job_id = '${parentId}' AND ${without}`, FIRST));
}

export function insertJobAlone(tx: Transaction, jobId: string, otherwise: Columns = {}): Promise<number> {
  return tx.$executeRawUnsafe(insertedRow(jobId, otherwise));
}

/** The columns in which a job's first event differs from later ones. */
const FIRST: Columns = {
  type: "'job_submitted'",
  previous_state: "NULL",
  principal_id: "submitted_by",
  recorded_at: "created_at",
};

function insertedJob(jobId: string, { job = {}, event = {} }: Otherwise = {}): readonly string[] {
  return [insertedRow(jobId, job), insertedEvent(jobId, { ...FIRST, ...event })];
}

function insertedRow(jobId: string, otherwise: Columns): string {
  return insertedRows(`SELECT '${jobId}'::uuid AS job_id`, otherwise);
}

function insertedRows(ids: string, otherwise: Columns): string {
  const columns: Columns = {
    job_id: "job_id",
    workspace_id: `'${WORKSPACE}'`,
    trace_id: "gen_random_uuid()",
    job_kind: "'doc_summarize'",
    status_reason: "'submitted'",
    protocol_id: "'plain-sql'",
    profile_id: "'default'",
    capability_profile_id: "'default'",
    submit_hash: "repeat('a', 64)",
    submitted_by: "'plain SQL'",
    order_xid: "current_order_xid()",
    chain_hash: hashOf("1"),
    ...otherwise,
  };
  return `INSERT INTO ai_jobs (${Object.keys(columns).join(", ")})
    SELECT ${Object.values(columns).join(", ")} FROM (${ids}) AS new`;
}

/** Gives a job its next version, in this state, with the event for it. */
export async function change(tx: Transaction, jobId: string, to: StateWord, otherwise: Otherwise = {}): Promise<void> {
  for (const sql of changedJob(jobId, to, otherwise)) await tx.$executeRawUnsafe(sql);
}

export function changeJobAlone(
  tx: Transaction,
  jobId: string,
  to: StateWord,
  otherwise: Columns = {},
): Promise<number> {
  return tx.$executeRawUnsafe(changedRow(jobId, to, otherwise));
}

function changedJob(jobId: string, to: StateWord, { job = {}, event = {} }: Otherwise = {}): readonly string[] {
  return [changedRow(jobId, to, job), insertedEvent(jobId, event)];
}

function changedRow(jobId: string, to: StateWord, otherwise: Columns): string {
  const columns: Columns = {
    state: `'${to}'`,
    status_reason: `'${to}'`,
    version: "version + 1",
    order_xid: "greatest(current_order_xid(), order_xid)",
    chain_hash: hashOf("version + 1"),
    updated_at: "now()",
    completed_at: TERMINAL_STATES.includes(to) ? "now()" : "NULL",
    ended_at: ENDED_STATES.includes(to) ? "now()" : "NULL",
    waits_for: to === "awaiting_user" ? "'user_review'" : "NULL",
    job_outputs: STATES_WITH_OUTPUTS.includes(to) ? `'{"summary": "text"}'` : "NULL",
    ...otherwise,
  };
  return `UPDATE ai_jobs SET ${assignments(columns)} WHERE job_id = '${jobId}'`;
}

/** Writes the event for a job's newest version. */
export function insertEvent(tx: Transaction, jobId: string, otherwise: Columns = {}): Promise<number> {
  return tx.$executeRawUnsafe(insertedEvent(jobId, otherwise));
}

function insertedEvent(jobId: string, otherwise: Columns): string {
  return insertedEvents(`job_id = '${jobId}'`, otherwise);
}

function insertedEvents(which: string, otherwise: Columns): string {
  const columns: Columns = {
    event_id: "gen_random_uuid()",
    job_id: "job_id",
    version: "version",
    order_xid: "order_xid",
    workspace_id: "workspace_id",
    trace_id: "trace_id",
    workflow_run_id: "workflow_run_id",
    type: "'state_changed'",
    actor: "'system'",
    actor_id: "'plain SQL'",
    state: "state",
    previous_state:
      "(SELECT e.state FROM flight_recorder_events e WHERE e.job_id = j.job_id AND e.version = j.version - 1)",
    ...Object.fromEntries(METRICS.map((name) => [name, name])),
    recorded_at: "updated_at",
    prev_hash: `CASE version WHEN 1 THEN repeat('0', 64) ELSE ${hashOf("version - 1")} END`,
    hash: "chain_hash",
    ...otherwise,
  };
  return `INSERT INTO flight_recorder_events (${Object.keys(columns).join(", ")})
    SELECT ${Object.values(columns).join(", ")} FROM ai_jobs j WHERE ${which}`;
}

/** Inserts a running run of a job. */
export async function insertRun(tx: Transaction, jobId: string, otherwise: Columns = {}): Promise<string> {
  const id = randomUUID();
  await tx.$executeRawUnsafe(insertedRun(id, jobId, otherwise));
  return id;
}

function insertedRun(id: string, jobId: string, otherwise: Columns = {}): string {
  return inserted("workflow_runs", {
    id: `'${id}'`,
    workspace_id: `'${WORKSPACE}'`,
    job_id: `'${jobId}'`,
    attempt: "1",
    worker_id: "'worker-1'",
    lease_token: "sha256('token')",
    lease_expires_at: "now() + interval '30 s'",
    ...otherwise,
  });
}

/** Inserts a running node of a run. */
export async function insertNode(tx: Transaction, runId: string, otherwise: Columns = {}): Promise<string> {
  const id = randomUUID();
  await tx.$executeRawUnsafe(insertedNode(id, runId, otherwise));
  return id;
}

function insertedNode(id: string, runId: string, otherwise: Columns = {}): string {
  return inserted("node_executions", {
    id: `'${id}'`,
    workspace_id: `'${WORKSPACE}'`,
    workflow_run_id: `'${runId}'`,
    node_id: "'summarise'",
    node_type: "'tool'",
    sequence: "1",
    ...otherwise,
  });
}

function inserted(table: string, columns: Columns): string {
  return `INSERT INTO ${table} (${Object.keys(columns).join(", ")}) VALUES (${Object.values(columns).join(", ")})`;
}

/** Changes one run or node. */
export function update(
  tx: Transaction,
  table: "workflow_runs" | "node_executions",
  id: string,
  columns: Columns,
): Promise<number> {
  return tx.$executeRawUnsafe(`UPDATE ${table} SET ${assignments(columns)} WHERE id = '${id}'`);
}

function assignments(columns: Columns): string {
  return Object.entries(columns)
    .map(([column, value]) => `${column} = ${value}`)
    .join(", ");
}

/** Sends several statements as one, in an implicit transaction. */
async function send(prisma: PrismaClient, statements: readonly string[]): Promise<void> {
  await prisma.$executeRawUnsafe(`DO $plain$ BEGIN ${statements.map((sql) => `${sql};`).join("\n")} END $plain$`);
}

/** A new job that reached this state by allowed changes. */
export async function jobIn(prisma: PrismaClient, state: StateWord): Promise<string> {
  const jobId = randomUUID();
  await send(prisma, [...insertedJob(jobId), ...STATE_PATH[state].flatMap((step) => changedJob(jobId, step))]);
  return jobId;
}

/** Gives a job this many more versions in one transaction, as a busy hour would. */
export async function manyVersions(prisma: PrismaClient, jobId: string, count: number): Promise<void> {
  const loop = changedJob(jobId, "queued")
    .map((sql) => `${sql};`)
    .join("\n");
  await prisma.$executeRawUnsafe(`DO $plain$ BEGIN FOR n IN 1..${count} LOOP ${loop} END LOOP; END $plain$`);
}

export interface JobWithRun {
  readonly jobId: string;
  readonly runId: string;
  readonly nodeId: string;
}

/** A running job with a running run that has a running node. */
export async function runningJob(prisma: PrismaClient): Promise<JobWithRun> {
  const made = { jobId: randomUUID(), runId: randomUUID(), nodeId: randomUUID() };
  const { jobId, runId, nodeId } = made;
  const job = { attempt: "1", workflow_run_id: `'${runId}'` };
  await send(prisma, [
    ...insertedJob(jobId),
    insertedRun(runId, jobId),
    insertedNode(nodeId, runId),
    ...changedJob(jobId, "running", { job }),
  ]);
  return made;
}

/** A poisoned job whose run and node are still running, as a faulty program could leave them. */
export async function poisonedJobWithRunLeft(prisma: PrismaClient): Promise<JobWithRun> {
  const made = await runningJob(prisma);
  await send(prisma, changedJob(made.jobId, "poisoned"));
  return made;
}

/** All rows of a job. */
export async function everythingOf(prisma: PrismaClient, jobId: string): Promise<unknown> {
  return prisma.$queryRawUnsafe(`
    SELECT to_jsonb(j) AS job,
      (SELECT jsonb_agg(e ORDER BY version) FROM flight_recorder_events e WHERE e.job_id = j.job_id) AS events,
      (SELECT jsonb_agg(r ORDER BY attempt, id) FROM workflow_runs r WHERE r.job_id = j.job_id) AS runs,
      (SELECT jsonb_agg(n ORDER BY n.id) FROM workflow_runs r JOIN node_executions n ON n.workflow_run_id = r.id
       WHERE r.job_id = j.job_id) AS nodes
    FROM ai_jobs j WHERE job_id = '${jobId}'`);
}

/** The SQLSTATE with which a transaction was refused, at a statement or at its commit; otherwise "committed". */
export function outcomeOf(
  prisma: PrismaClient,
  work: (tx: Transaction) => Promise<unknown>,
  options: { readonly isolationLevel?: "RepeatableRead" | "Serializable" } = {},
): Promise<string> {
  return prisma.$transaction(work, options).then(
    () => "committed",
    (error: unknown) => {
      const state = sqlState(error);
      if (state === undefined) throw error;
      return state;
    },
  );
}
