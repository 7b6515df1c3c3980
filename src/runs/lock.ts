import { Prisma, type WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { estimateFewRows, PREPARE_MARKER } from "../db/prepared.ts";
import { REPORT_COLUMNS, RUN_COLUMNS, type StoredReport } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { type LockedJobWithWriteScope, lockJobsWithWriteScope } from "../jobs/lock.ts";
import { readJob } from "../jobs/store.ts";
import { type JoinedReport, joinedReport, type ReportRef } from "./report.ts";

/** A run, its job and the database's clock: everything that a lease is checked by. */
export interface RunWithJob {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
  readonly now: Date;
}

/** A run that was read under its job's lock, with everything else that a report is checked by. */
export interface RunUnderJobLock extends RunWithJob {
  readonly job: LockedJobWithWriteScope;
  /** The stored report of this run with the same `reportId`; undefined when there is none. */
  readonly earlierReport: StoredReport | undefined;
  readonly hasOpenNodes: boolean;
}

/**
 * Locks the jobs of the runs that are reported on, then reads the runs as they are under those locks (section 4).
 * @param ifLocked what to do about a job that another transaction has locked: wait for it, or skip its run.
 * @returns the runs by run id, without those that do not exist or were skipped.
 */
export async function lockJobsOfRuns(
  tx: Transaction,
  reports: readonly ReportRef[],
  ifLocked: "WAIT" | "SKIP" = "WAIT",
): Promise<ReadonlyMap<string, RunUnderJobLock>> {
  const runIds = reports.map(({ workflowRunId }) => workflowRunId);
  const jobsOfRuns = Prisma.sql`job_id = ANY(ARRAY(SELECT r.job_id FROM workflow_runs r WHERE r.id = ANY(${runIds}::uuid[])))`;
  const jobs = await lockJobsWithWriteScope(tx, jobsOfRuns, ifLocked);
  const reportIds = reports.map(({ reportId }) => reportId ?? null);
  const reportRefs = Prisma.sql`unnest(${runIds}::uuid[], ${reportIds}::uuid[]) AS t(reported_run_id, reported_id)`;
  // Not in the statement that locks: after waiting for a lock, a statement rereads the locked rows alone, and would see runs,
  // nodes and reports as they were before the wait.
  const rows = await tx.$queryRaw<(WorkflowRun & JoinedReport & { readonly hasOpenNodes: boolean })[]>`
    ${PREPARE_MARKER} SELECT ${RUN_COLUMNS}, earlier_report.*,
      EXISTS (SELECT FROM node_executions n WHERE n.workflow_run_id = reported_run_id AND n.finished_at IS NULL)
        AS "hasOpenNodes"
    FROM ${estimateFewRows(reportRefs, runIds.length)} AS reported JOIN workflow_runs ON id = reported_run_id
    LEFT JOIN LATERAL (
      SELECT ${REPORT_COLUMNS} FROM worker_reports WHERE workflow_run_id = reported_run_id AND report_id = reported_id LIMIT 1
    ) AS earlier_report ON true`;
  return new Map(
    rows.flatMap((row) => {
      const job = jobs.get(row.jobId);
      if (!job) return [];
      const { hasOpenNodes } = row;
      return [[row.id, { run: row, job, now: job.now, earlierReport: joinedReport(row), hasOpenNodes }] as const];
    }),
  );
}

/**
 * The states of jobs that are decided but not written yet, for a call with several reports. The reports are decided one after
 * another, and only then written together: each decision must see the job states that the earlier decisions lead to. Otherwise
 * two reports of one call could both end the same job.
 */
export class PendingJobStates {
  readonly #lockedRuns: ReadonlyMap<string, RunUnderJobLock>;
  readonly #pendingStates = new Map<string, JobState>();

  constructor(lockedRuns: ReadonlyMap<string, RunUnderJobLock>) {
    this.#lockedRuns = lockedRuns;
  }

  /** @returns the run, its job in the state that the earlier reports lead to; undefined when the run was not locked. */
  runWithPendingState(runId: string): RunUnderJobLock | undefined {
    const lockedRun = this.#lockedRuns.get(runId);
    const newState = lockedRun && this.#pendingStates.get(lockedRun.job.jobId);
    return lockedRun && newState ? { ...lockedRun, job: { ...lockedRun.job, state: newState } } : lockedRun;
  }

  /** Records the state that a decided report moves its job to; `runWithPendingState` returns the job in it from now on. */
  setPendingState(jobId: string, state: JobState): void {
    this.#pendingStates.set(jobId, state);
  }
}

/**
 * Reads a run with its job and the database's clock, without a lock. The result may be outdated at once: use it to refuse a
 * report early, never to accept one.
 * @returns undefined when there is no such run.
 */
export async function readRunWithJob(tx: Transaction, runId: string): Promise<RunWithJob | undefined> {
  const [run] = await tx.$queryRaw<(WorkflowRun & { now: Date })[]>`
    SELECT ${RUN_COLUMNS}, clock_timestamp() AS now FROM workflow_runs WHERE id = ${runId}::uuid`;
  const job = run && (await readJob(tx, run.jobId));
  return job && { run, job, now: run.now };
}
