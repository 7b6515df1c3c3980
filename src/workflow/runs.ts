import { lockJobs, readJob, type Transaction } from "../recorder/commit.ts";
import { RUN_COLUMNS, toRecordset } from "../storage/columns.ts";
import { Prisma, type WorkflowRun } from "../storage/generated/client/client.ts";
import type { JobState } from "../storage/generated/client/enums.ts";
import type { Reported } from "./lease.ts";
import { findReports, type ReportRef } from "./reports.ts";

/**
 * Runs are written only by a transaction that holds the job's row (section 4's lock order), in batches: the number of
 * statements does not grow with the number of runs.
 */

/** Locks the jobs of the runs that are reported on, then reads the runs as they are under those locks. By run id. */
export async function lockReported(tx: Transaction, reports: readonly ReportRef[]) {
  const ids = Prisma.sql`ANY(${reports.map(({ workflowRunId }) => workflowRunId)}::uuid[])`;
  const jobs = await lockJobs(tx, Prisma.sql`job_id IN (SELECT r.job_id FROM workflow_runs r WHERE r.id = ${ids})`);
  const runs = await tx.$queryRaw<WorkflowRun[]>`SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE id = ${ids}`;
  const earlier = await findReports(tx, reports);
  return new Map(
    runs.flatMap((run) => {
      const job = jobs.get(run.jobId);
      return job ? [[run.id, { run, job, now: job.now, earlier: earlier.get(run.id) }] as const] : [];
    }),
  );
}

/** A run of a job whose row this transaction holds. */
export async function readRun(tx: Transaction, runId: string): Promise<WorkflowRun | undefined> {
  const [run] = await tx.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE id = ${runId}::uuid`;
  return run;
}

/** A run with its job and the database's clock, without a lock: good for refusing early, never for deciding. */
export async function readReported(tx: Transaction, runId: string): Promise<Reported | undefined> {
  const [run] = await tx.$queryRaw<(WorkflowRun & { now: Date })[]>`
    SELECT ${RUN_COLUMNS}, clock_timestamp() AS now FROM workflow_runs WHERE id = ${runId}::uuid`;
  const job = run && (await readJob(tx, run.jobId));
  return job && { run, job, now: run.now };
}

/** Runs whose lease has passed, the longest ago first; without a lock, so each is to be judged again under one. */
export async function expiredRuns(tx: Transaction, limit: number): Promise<readonly string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM workflow_runs WHERE state = 'running' AND lease_expires_at <= clock_timestamp()
    ORDER BY lease_expires_at LIMIT ${limit}`;
  return rows.map(({ id }) => id);
}

export async function insertRuns(tx: Transaction, runs: readonly WorkflowRun[]): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO workflow_runs SELECT * FROM jsonb_populate_recordset(NULL::workflow_runs, ${toRecordset(runs)})`;
}

export interface Renewal {
  readonly id: string;
  readonly leaseExpiresAt: Date;
  readonly lastHeartbeat: Date;
}

export async function renewLeases(tx: Transaction, renewals: readonly Renewal[]): Promise<void> {
  if (renewals.length === 0) return;
  await tx.$executeRaw`
    UPDATE workflow_runs r SET lease_expires_at = n.lease_expires_at, last_heartbeat = n.last_heartbeat
    FROM jsonb_populate_recordset(NULL::workflow_runs, ${toRecordset(renewals)}) n WHERE r.id = n.id`;
}

export interface Ending {
  readonly id: string;
  readonly state: Exclude<JobState, "QUEUED" | "RUNNING">;
  readonly errorMessage: string | null;
  /** Null for a run that awaits somebody's decision: its work is done, and it has not finished. */
  readonly finishedAt: Date | null;
}

/** Takes runs from their workers: the lease is revoked, and every node still open ends as its run does (section 3). */
export async function endRuns(tx: Transaction, endings: readonly Ending[]): Promise<void> {
  if (endings.length === 0) return;
  await tx.$executeRaw`
    WITH ending AS (SELECT * FROM jsonb_populate_recordset(NULL::workflow_runs, ${toRecordset(endings)})),
    run AS (
      UPDATE workflow_runs r SET state = n.state, lease_expires_at = NULL, finished_at = n.finished_at,
        error_message = n.error_message
      FROM ending n WHERE r.id = n.id AND r.finished_at IS NULL
    )
    UPDATE node_executions e SET state = n.state, finished_at = n.finished_at
    FROM ending n WHERE e.workflow_run_id = n.id AND e.finished_at IS NULL AND n.finished_at IS NOT NULL`;
}

/** Which of these runs have a node that has not finished. */
export async function runsWithOpenNodes(tx: Transaction, runIds: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT DISTINCT workflow_run_id AS id FROM node_executions
    WHERE workflow_run_id = ANY(${runIds}::uuid[]) AND finished_at IS NULL`;
  return new Set(rows.map(({ id }) => id));
}
