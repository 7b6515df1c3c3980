import { Prisma, type WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { type JobSummary } from "../db/job-columns.ts";
import { estimateFewRows, FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { type KeptReport, REPORT_COLUMNS, RUN_COLUMNS } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { lockReportedJobs, type ReportedJob } from "../jobs/lock.ts";
import { readJob } from "../jobs/store.ts";
import { type JoinedReport, joinedReport, type ReportRef } from "./report.ts";

/** A run, its job, and the database's clock, read together: what a lease is judged by. */
export interface ReportedRun {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
  readonly now: Date;
}

/** The same, read under the job's lock, with what else a report is judged by. */
export interface LockedRun extends ReportedRun {
  readonly job: ReportedJob;
  /** The report that was kept under the same id before. */
  readonly earlier: KeptReport | undefined;
  readonly hasOpenNodes: boolean;
}

/**
 * Locks the jobs of the runs that are reported on, then reads the runs as they are under those locks.
 * @param whenHeld whether to wait for a job that somebody else holds, or to leave its run out.
 * @returns by run id; a run that does not exist, or was left out, is not among them.
 */
export async function lockReportedRuns(
  tx: Transaction,
  reports: readonly ReportRef[],
  whenHeld: "WAIT" | "SKIP" = "WAIT",
): Promise<ReadonlyMap<string, LockedRun>> {
  const runIds = reports.map(({ workflowRunId }) => workflowRunId);
  const jobsOfRuns = Prisma.sql`job_id = ANY(ARRAY(SELECT r.job_id FROM workflow_runs r WHERE r.id = ANY(${runIds}::uuid[])))`;
  const jobs = await lockReportedJobs(tx, jobsOfRuns, whenHeld);
  const reportIds = reports.map(({ reportId }) => reportId ?? null);
  const given = Prisma.sql`unnest(${runIds}::uuid[], ${reportIds}::uuid[]) AS t(of_run, named)`;
  // A statement of its own: one that waits for a lock reads everything else as it was before the wait.
  const rows = await tx.$queryRaw<(WorkflowRun & JoinedReport & { readonly hasOpenNodes: boolean })[]>`
    ${FORCED_GENERIC_PLAN} SELECT ${RUN_COLUMNS}, kept.*,
      EXISTS (SELECT FROM node_executions n WHERE n.workflow_run_id = of_run AND n.finished_at IS NULL) AS "hasOpenNodes"
    FROM ${estimateFewRows(given, runIds.length)} AS given JOIN workflow_runs ON id = of_run
    LEFT JOIN LATERAL (
      SELECT ${REPORT_COLUMNS} FROM worker_reports WHERE workflow_run_id = of_run AND report_id = named LIMIT 1
    ) AS kept ON true`;
  return new Map(
    rows.flatMap((run) => {
      const job = jobs.get(run.jobId);
      const { hasOpenNodes } = run;
      return job ? [[run.id, { run, job, now: job.now, earlier: joinedReport(run), hasOpenNodes }] as const] : [];
    }),
  );
}

/**
 * The locked runs of a call with several reports, which are judged one after another before any of them is written: what
 * one does to its job counts as done for those after it. Otherwise two reports of one call could both end the same job.
 */
export class SequentialReports {
  readonly #locked: ReadonlyMap<string, LockedRun>;
  readonly #newStates = new Map<string, JobState>();

  constructor(locked: ReadonlyMap<string, LockedRun>) {
    this.#locked = locked;
  }

  /** A run, with its job in the state to which the reports before have brought it. */
  find(runId: string): LockedRun | undefined {
    const found = this.#locked.get(runId);
    const state = found && this.#newStates.get(found.job.jobId);
    return found && state ? { ...found, job: { ...found.job, state } } : found;
  }

  /** Notes that a report has been judged that brings its job to this state. */
  noteState(jobId: string, state: JobState): void {
    this.#newStates.set(jobId, state);
  }
}

/**
 * A run with its job and the database's clock, without a lock: good for refusing early, never for deciding.
 * @returns undefined where there is no such run.
 */
export async function readReportedRun(tx: Transaction, runId: string): Promise<ReportedRun | undefined> {
  const [run] = await tx.$queryRaw<(WorkflowRun & { now: Date })[]>`
    SELECT ${RUN_COLUMNS}, clock_timestamp() AS now FROM workflow_runs WHERE id = ${runId}::uuid`;
  const job = run && (await readJob(tx, run.jobId));
  return job && { run, job, now: run.now };
}
