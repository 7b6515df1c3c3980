import { Prisma, type WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { estimateFewRows } from "../db/prepared.ts";
import { RUN_COLUMNS, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { ExtraCte } from "../jobs/store.ts";

/**
 * Runs are written only by a transaction that holds the job's row (section 4's lock order), in batches, by the statement
 * that writes the jobs' versions: the number of statements does not grow with the number of runs.
 */

/** A run of a job whose row this transaction holds. */
export async function readRun(tx: Transaction, runId: string): Promise<WorkflowRun | undefined> {
  const [run] = await tx.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE id = ${runId}::uuid`;
  return run;
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

/** Makes runs of jobs that are taken. */
export function insertRunsCte(runs: readonly WorkflowRun[]): ExtraCte[] {
  if (runs.length === 0) return [];
  return [
    Prisma.sql`new_run AS (
      INSERT INTO workflow_runs SELECT * FROM ${runRows(runs)})`,
  ];
}

/** A run whose lease goes on until `leaseExpiresAt`. */
export interface LeaseRenewal {
  readonly id: string;
  readonly leaseExpiresAt: Date;
  readonly lastHeartbeat: Date;
}

/** Renews leases: of runs that hold theirs, as was judged under their jobs' locks. */
export function renewLeasesCte(renewals: readonly LeaseRenewal[]): ExtraCte[] {
  if (renewals.length === 0) return [];
  return [
    Prisma.sql`renewed_lease AS (
      UPDATE workflow_runs r SET lease_expires_at = n.lease_expires_at, last_heartbeat = n.last_heartbeat
      FROM ${estimateFewRows(runRows(renewals), renewals.length)} AS n WHERE r.id = n.id)`,
  ];
}

/** How a run is taken from its worker. */
export interface RunEnd {
  readonly id: string;
  readonly state: Exclude<JobState, "QUEUED" | "RUNNING">;
  readonly errorMessage: string | null;
  /** Null for a run that awaits somebody's decision: its work is done, and it has not finished. */
  readonly finishedAt: Date | null;
}

/** Takes runs from their workers: the lease is revoked, and every node still open ends as its run does (section 3). */
export function endRunsCte(ends: readonly RunEnd[]): ExtraCte[] {
  if (ends.length === 0) return [];
  return [
    Prisma.sql`ending AS (SELECT * FROM ${estimateFewRows(runRows(ends), ends.length)} AS ending)`,
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

/**
 * A run as `endRunsCte` leaves it, for the answer. It follows from what was read, and is not read again: that would cost a
 * round trip while the job is locked. It is what is stored, because `run` was read under its job's lock, without which
 * nobody writes a run; and because the statement sets these four columns of a run that has not finished, and no others.
 * @param run as it was under its job's lock, not finished.
 */
export function endedRun(run: WorkflowRun, { state, errorMessage, finishedAt }: RunEnd): WorkflowRun {
  return { ...run, state, errorMessage, finishedAt, leaseExpiresAt: null };
}

/** What is written of runs, as a table. */
function runRows(runs: readonly object[]): Prisma.Sql {
  return Prisma.sql`json_populate_recordset(NULL::workflow_runs, ${toRecordset(runs)})`;
}
