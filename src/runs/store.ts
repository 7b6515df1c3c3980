import { Prisma } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { estimateFewRows, PREPARE_MARKER } from "../db/prepared.ts";
import { type JsonValue, RUN_COLUMNS, type Run, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { ExtraCte } from "../jobs/store.ts";

/**
 * Reads and writes of runs. Runs are written only by a transaction that has locked their jobs (section 4, "Lock order"), and
 * by the same statement that writes the jobs' versions, so that the number of statements does not grow with the number of
 * runs. Each `…Cte` function returns the CTEs for that statement, and none when there is nothing to write.
 */

/**
 * Reads a run. To decide anything by it, lock its job in `tx` first.
 * @returns undefined when there is no such run.
 */
export async function readRun(tx: Transaction, runId: string): Promise<Run | undefined> {
  const [run] = await tx.$queryRaw<Run[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE id = ${runId}::uuid`;
  return run;
}

/** A run whose lease has expired. */
export type ExpiredRun = Pick<Run, "id" | "leaseExpiresAt">;

/**
 * Lists runs whose lease has expired, without a lock: check each run again under its job's lock before changing it.
 * @param limit the most runs to return.
 * @param after the last run of the previous page; without it, the list begins with the first.
 * @returns the runs in the order in which their leases expired.
 */
export function expiredRuns(tx: Transaction, limit: number, after?: ExpiredRun): Promise<ExpiredRun[]> {
  const afterLast = after
    ? Prisma.sql`AND (lease_expires_at, id) > (${after.leaseExpiresAt}, ${after.id}::uuid)`
    : Prisma.empty;
  return tx.$queryRaw<ExpiredRun[]>`
    SELECT id, lease_expires_at AS "leaseExpiresAt" FROM workflow_runs
    WHERE state = 'running' AND lease_expires_at <= clock_timestamp() ${afterLast}
    ORDER BY lease_expires_at, id LIMIT ${limit}`;
}

/** A run whose progress may be a version by now. */
export type RunWithDueProgress = Pick<Run, "id" | "nextProgressAt">;

/**
 * Lists runs whose progress may be a version by now, without a lock: check each again under its job's lock.
 * @param limit the most runs to return.
 * @param after the last run of the previous page; without it, the list begins with the first.
 * @returns the runs in the order in which it may be one.
 */
export function runsWithDueProgress(
  tx: Transaction,
  limit: number,
  after?: RunWithDueProgress,
): Promise<RunWithDueProgress[]> {
  const afterLast = after
    ? Prisma.sql`AND (next_progress_at, id) > (${after.nextProgressAt}, ${after.id}::uuid)`
    : Prisma.empty;
  return tx.$queryRaw<RunWithDueProgress[]>`
    ${PREPARE_MARKER} SELECT id, next_progress_at AS "nextProgressAt" FROM workflow_runs
    WHERE next_progress_at <= statement_timestamp() ${afterLast} ORDER BY next_progress_at, id LIMIT ${limit}`;
}

/** Inserts the runs of jobs that are leased. */
export function insertRunsCte(runs: readonly Run[]): ExtraCte[] {
  if (runs.length === 0) return [];
  return [
    Prisma.sql`new_run AS (
      INSERT INTO workflow_runs SELECT * FROM ${runRows(runs)})`,
  ];
}

/** The columns of a run for the progress that waits, and from when on it may be a version: all null where none does. */
export type NextProgress = Pick<Run, "nextProgressFraction" | "nextProgressMessage" | "nextProgressAt">;
export const NO_NEXT_PROGRESS: NextProgress = {
  nextProgressFraction: null,
  nextProgressMessage: null,
  nextProgressAt: null,
};

/** What a heartbeat changes of a run: its lease, and the progress that waits, where that is new or a version took it. */
export interface LeaseRenewal extends NextProgress {
  readonly id: string;
  readonly leaseExpiresAt: Date;
  readonly lastHeartbeat: Date;
}

/** Renews leases. The caller must have checked, under the jobs' locks, that the runs still have them. */
export function renewLeasesCte(renewals: readonly LeaseRenewal[]): ExtraCte[] {
  if (renewals.length === 0) return [];
  return [
    Prisma.sql`renewed_lease AS (
      UPDATE workflow_runs r SET lease_expires_at = n.lease_expires_at, last_heartbeat = n.last_heartbeat,
        next_progress_fraction = n.next_progress_fraction, next_progress_message = n.next_progress_message,
        next_progress_at = n.next_progress_at
      FROM ${estimateFewRows(runRows(renewals), renewals.length)} AS n WHERE r.id = n.id)`,
  ];
}

/** Lets the progress go that waits with these runs, because a version of their jobs took it. */
export function letProgressGoCte(runs: readonly Run[]): ExtraCte[] {
  const ids = runs.flatMap(({ id, nextProgressAt }) => (nextProgressAt === null ? [] : [id]));
  if (ids.length === 0) return [];
  return [
    Prisma.sql`progress_let_go AS (
      UPDATE workflow_runs SET next_progress_fraction = NULL, next_progress_message = NULL, next_progress_at = NULL
      WHERE id = ANY(${ids}::uuid[]))`,
  ];
}

/**
 * The new state of a run that must have no lease any more, because it finishes or its outputs await a decision. A run whose
 * outputs already await a decision has lost its lease before.
 */
export interface LeaseRelease {
  readonly id: string;
  readonly state: Exclude<JobState, "QUEUED" | "RUNNING">;
  readonly errorMessage: string | null;
  /** Null for a run whose outputs or question await a decision: the worker is done, but the run is not finished. */
  readonly finishedAt: Date | null;
  /** Why it finished; null where it is not finished. */
  readonly endReason: RunEndReason | null;
  /** What it completed with; left out, what it has stays. */
  readonly outputs?: JsonValue;
}

/** Why a run finished, for programs (section 3). */
export type RunEndReason = (typeof RUN_END_REASONS)[number];

const RUN_END_REASONS = [
  "completed",
  "completed_with_issues",
  "failed",
  "rejected",
  "revised",
  "released",
  "released_too_often",
  "answered",
  "user_input_timeout",
  "lease_expired",
  "cancelled",
  "poisoned",
  "guard_failed",
  "access_mode_violation",
  "budget_exceeded",
  "capability_denied",
] as const;

/**
 * Revokes the leases of runs, where they still have one, lets go of progress that waits, and sets the runs' new states. When a run finishes, its open nodes
 * finish with the same state (section 3).
 * @param endedNodeIds nodes that the same statement ends otherwise: a statement must not change a row twice.
 */
export function releaseLeasesCte(releases: readonly LeaseRelease[], endedNodeIds: readonly string[] = []): ExtraCte[] {
  if (releases.length === 0) return [];
  return [
    Prisma.sql`lease_release AS (SELECT * FROM ${estimateFewRows(runRows(releases), releases.length)} AS lease_release)`,
    Prisma.sql`released_run AS (
      UPDATE workflow_runs r SET state = n.state, lease_expires_at = NULL, finished_at = n.finished_at,
        next_progress_fraction = NULL, next_progress_message = NULL, next_progress_at = NULL,
        error_message = n.error_message, end_reason = n.end_reason, outputs = coalesce(n.outputs, r.outputs)
      FROM lease_release n WHERE r.id = n.id AND r.finished_at IS NULL)`,
    // OFFSET 0 makes PostgreSQL look up the open nodes run by run. Left to choose, it may plan a join that reads the open
    // nodes of all runs in the database.
    Prisma.sql`finished_node AS (
      UPDATE node_executions SET (state, finished_at) = (
        SELECT n.state, n.finished_at FROM lease_release n WHERE n.id = workflow_run_id)
      WHERE id = ANY(ARRAY(
        SELECT open.id FROM lease_release n, LATERAL (
          SELECT e.id FROM node_executions e WHERE e.workflow_run_id = n.id AND e.finished_at IS NULL OFFSET 0) AS open
        WHERE n.finished_at IS NOT NULL)) AND id <> ALL(${endedNodeIds}::uuid[]))`,
  ];
}

/**
 * @param run an unfinished run, as it was read under its job's lock.
 * @returns the run as `releaseLeasesCte` stores it, for the answer. The run is computed and not read again, which would cost a
 * round trip while the job is locked. The result equals the stored row: nobody writes a run without its job's lock, and
 * `releaseLeasesCte` sets these columns of an unfinished run and no others.
 */
export function releasedRun(run: Run, release: LeaseRelease): Run {
  const { outputs: _outputs, ...changed } = release;
  return { ...run, ...changed, ...NO_NEXT_PROGRESS, leaseExpiresAt: null };
}

/** @returns the runs as a SQL row set with the columns of `workflow_runs`; missing properties are NULL. */
function runRows(runs: readonly object[]): Prisma.Sql {
  return Prisma.sql`json_populate_recordset(NULL::workflow_runs, ${toRecordset(runs)})`;
}
