import { type AlsoWritten, readJob } from "../recorder/commit.ts";
import { lockReportedJobs, type ReportedJob } from "../recorder/lock.ts";
import type { Transaction } from "../recorder/transaction.ts";
import { REPORT_COLUMNS, RUN_COLUMNS, toRecordset } from "../storage/columns.ts";
import { Prisma, type WorkerReport, type WorkflowRun } from "../storage/generated/client/client.ts";
import type { JobState } from "../storage/generated/client/enums.ts";
import { few, PLANNED_ONCE } from "../storage/planned-once.ts";
import type { Reported } from "./lease.ts";
import { type MaybeReport, type ReportRef, reportIn } from "./reports.ts";

/**
 * Runs are written only by a transaction that holds the job's row (section 4's lock order), in batches, by the statement
 * that writes the jobs' versions: the number of statements does not grow with the number of runs.
 */

/** What a report is judged by, read under its job's lock. */
export interface LockedReport extends Reported {
  readonly job: ReportedJob;
  /** What was kept under the report's id before. */
  readonly earlier: WorkerReport | undefined;
  readonly hasOpenNodes: boolean;
}

/**
 * Locks the jobs of the runs that are reported on, then reads the runs as they are under those locks. By run id.
 * @param whenHeld whether to wait for a job that somebody else holds, or to leave its run out.
 */
export async function lockReported(
  tx: Transaction,
  reports: readonly ReportRef[],
  whenHeld: "WAIT" | "SKIP" = "WAIT",
): Promise<ReadonlyMap<string, LockedReport>> {
  const ids = reports.map(({ workflowRunId }) => workflowRunId);
  const theirs = Prisma.sql`job_id = ANY(ARRAY(SELECT r.job_id FROM workflow_runs r WHERE r.id = ANY(${ids}::uuid[])))`;
  const jobs = await lockReportedJobs(tx, theirs, whenHeld);
  const names = reports.map(({ reportId }) => reportId ?? null);
  const given = Prisma.sql`unnest(${ids}::uuid[], ${names}::uuid[]) AS t(of_run, named)`;
  // A statement of its own: one that waits for a lock reads everything else as it was before the wait.
  const rows = await tx.$queryRaw<(WorkflowRun & MaybeReport & { readonly hasOpenNodes: boolean })[]>`
    ${PLANNED_ONCE} SELECT ${RUN_COLUMNS}, ${REPORT_COLUMNS},
      EXISTS (SELECT FROM node_executions n WHERE n.workflow_run_id = of_run AND n.finished_at IS NULL) AS "hasOpenNodes"
    FROM ${few(given, ids.length)} AS given JOIN workflow_runs ON id = of_run
    LEFT JOIN LATERAL (
      SELECT * FROM worker_reports WHERE workflow_run_id = of_run AND report_id = named LIMIT 1
    ) AS kept ON true`;
  return new Map(
    rows.flatMap((run) => {
      const job = jobs.get(run.jobId);
      const { hasOpenNodes } = run;
      return job ? [[run.id, { run, job, now: job.now, earlier: reportIn(run), hasOpenNodes }] as const] : [];
    }),
  );
}

/** Reports of one call are judged one after another: what one of them does to its job has been done for those after it. */
export class ReportsInOrder {
  readonly #reported: ReadonlyMap<string, LockedReport>;
  readonly #became = new Map<string, JobState>();

  constructor(reported: ReadonlyMap<string, LockedReport>) {
    this.#reported = reported;
  }

  find(runId: string): LockedReport | undefined {
    const found = this.#reported.get(runId);
    const state = found && this.#became.get(found.job.jobId);
    return found && state ? { ...found, job: { ...found.job, state } } : found;
  }

  /** A report has been judged that brings its job to this state. */
  becomes(jobId: string, state: JobState): void {
    this.#became.set(jobId, state);
  }
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

/** A run whose lease has passed. */
export type ExpiredRun = Pick<WorkflowRun, "id" | "leaseExpiresAt">;

/**
 * Runs whose lease has passed, the longest ago first; without a lock, so each is to be judged again under one.
 * @param after the last one that was looked at.
 */
export function expiredRuns(tx: Transaction, limit: number, after?: ExpiredRun): Promise<ExpiredRun[]> {
  const further = after
    ? Prisma.sql`AND (lease_expires_at, id) > (${after.leaseExpiresAt}, ${after.id}::uuid)`
    : Prisma.empty;
  return tx.$queryRaw<ExpiredRun[]>`
    SELECT id, lease_expires_at AS "leaseExpiresAt" FROM workflow_runs
    WHERE state = 'running' AND lease_expires_at <= clock_timestamp() ${further}
    ORDER BY lease_expires_at, id LIMIT ${limit}`;
}

export function newRuns(runs: readonly WorkflowRun[]): AlsoWritten[] {
  if (runs.length === 0) return [];
  return [
    Prisma.sql`new_run AS (
      INSERT INTO workflow_runs SELECT * FROM ${runRows(runs)})`,
  ];
}

export interface Renewal {
  readonly id: string;
  readonly leaseExpiresAt: Date;
  readonly lastHeartbeat: Date;
}

export function renewedLeases(renewals: readonly Renewal[]): AlsoWritten[] {
  if (renewals.length === 0) return [];
  return [
    Prisma.sql`renewed_lease AS (
      UPDATE workflow_runs r SET lease_expires_at = n.lease_expires_at, last_heartbeat = n.last_heartbeat
      FROM ${few(runRows(renewals), renewals.length)} AS n WHERE r.id = n.id)`,
  ];
}

export interface Ending {
  readonly id: string;
  readonly state: Exclude<JobState, "QUEUED" | "RUNNING">;
  readonly errorMessage: string | null;
  /** Null for a run that awaits somebody's decision: its work is done, and it has not finished. */
  readonly finishedAt: Date | null;
}

/** Takes runs from their workers: the lease is revoked, and every node still open ends as its run does (section 3). */
export function endedRuns(endings: readonly Ending[]): AlsoWritten[] {
  if (endings.length === 0) return [];
  return [
    Prisma.sql`ending AS (SELECT * FROM ${few(runRows(endings), endings.length)} AS ending)`,
    Prisma.sql`ended_run AS (
      UPDATE workflow_runs r SET state = n.state, lease_expires_at = NULL, finished_at = n.finished_at,
        error_message = n.error_message
      FROM ending n WHERE r.id = n.id AND r.finished_at IS NULL)`,
    // Found run by run: joined, PostgreSQL may walk over the open nodes of everybody instead.
    Prisma.sql`ended_node AS (
      UPDATE node_executions SET (state, finished_at) = (
        SELECT n.state, n.finished_at FROM ending n WHERE n.id = workflow_run_id)
      WHERE id = ANY(ARRAY(
        SELECT open.id FROM ending n, LATERAL (
          SELECT e.id FROM node_executions e WHERE e.workflow_run_id = n.id AND e.finished_at IS NULL OFFSET 0) AS open
        WHERE n.finished_at IS NOT NULL)))`,
  ];
}

/** What is written of runs, as a table. */
function runRows(runs: readonly object[]): Prisma.Sql {
  return Prisma.sql`json_populate_recordset(NULL::workflow_runs, ${toRecordset(runs)})`;
}
