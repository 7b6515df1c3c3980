import { Prisma, type WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { estimateFewRows, FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { REPORT_COLUMNS, RUN_COLUMNS, type StoredReport } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { lockReportedJobs, type ReportedJob } from "../jobs/lock.ts";
import { readJob } from "../jobs/store.ts";
import { type JoinedReport, joinedReport, type ReportRef } from "./report.ts";

/** A run, its job and the database's clock, read together: everything that a lease is checked by. */
export interface ReportedRun {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
  readonly now: Date;
}

/** A reported run that was read under its job's lock, with everything else that a report is checked by. */
export interface LockedRun extends ReportedRun {
  readonly job: ReportedJob;
  /** The stored report of this run with the same `reportId`; undefined when there is none. */
  readonly earlierReport: StoredReport | undefined;
  readonly hasOpenNodes: boolean;
}

/**
 * Locks the jobs of the runs that are reported on, then reads the runs as they are under those locks (section 4).
 * @param ifLocked what to do about a job that another transaction has locked: wait for it, or skip its run.
 * @returns the runs by run id, without those that do not exist or were skipped.
 */
export async function lockReportedRuns(
  tx: Transaction,
  reports: readonly ReportRef[],
  ifLocked: "WAIT" | "SKIP" = "WAIT",
): Promise<ReadonlyMap<string, LockedRun>> {
  const runIds = reports.map(({ workflowRunId }) => workflowRunId);
  const jobsOfRuns = Prisma.sql`job_id = ANY(ARRAY(SELECT r.job_id FROM workflow_runs r WHERE r.id = ANY(${runIds}::uuid[])))`;
  const jobs = await lockReportedJobs(tx, jobsOfRuns, ifLocked);
  const reportIds = reports.map(({ reportId }) => reportId ?? null);
  const reportRefs = Prisma.sql`unnest(${runIds}::uuid[], ${reportIds}::uuid[]) AS t(reported_run_id, reported_id)`;
  // Not in the statement that locks: after waiting for a lock, a statement rereads the locked rows alone, and would see runs,
  // nodes and reports as they were before the wait.
  const rows = await tx.$queryRaw<(WorkflowRun & JoinedReport & { readonly hasOpenNodes: boolean })[]>`
    ${FORCED_GENERIC_PLAN} SELECT ${RUN_COLUMNS}, earlier_report.*,
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
 * The locked runs of a call with several reports. The reports are decided one after another, and only then written together:
 * each decision must see the job states that the earlier decisions lead to. Otherwise two reports of one call could both
 * end the same job.
 */
export class SequentialReports {
  readonly #lockedRuns: ReadonlyMap<string, LockedRun>;
  readonly #newStates = new Map<string, JobState>();

  constructor(lockedRuns: ReadonlyMap<string, LockedRun>) {
    this.#lockedRuns = lockedRuns;
  }

  /** @returns the run, its job in the state that the earlier reports lead to; undefined when the run was not locked. */
  find(runId: string): LockedRun | undefined {
    const lockedRun = this.#lockedRuns.get(runId);
    const newState = lockedRun && this.#newStates.get(lockedRun.job.jobId);
    return lockedRun && newState ? { ...lockedRun, job: { ...lockedRun.job, state: newState } } : lockedRun;
  }

  /** Notes that a report was decided which moves its job to this state. */
  noteState(jobId: string, state: JobState): void {
    this.#newStates.set(jobId, state);
  }
}

/**
 * Reads a run with its job and the database's clock, without a lock. The result may be outdated at once: use it to refuse a
 * report early, never to accept one.
 * @returns undefined when there is no such run.
 */
export async function readReportedRun(tx: Transaction, runId: string): Promise<ReportedRun | undefined> {
  const [run] = await tx.$queryRaw<(WorkflowRun & { now: Date })[]>`
    SELECT ${RUN_COLUMNS}, clock_timestamp() AS now FROM workflow_runs WHERE id = ${runId}::uuid`;
  const job = run && (await readJob(tx, run.jobId));
  return job && { run, job, now: run.now };
}
