import { Prisma, type WorkerReport, type WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { estimateFewRows, FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { REPORT_COLUMNS, RUN_COLUMNS } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import {
  AppError,
  IllegalTransitionError,
  JobPoisonedError,
  LeaseLostError,
  type WorkflowDirective,
} from "../errors.ts";
import { lockReportedJobs, type ReportedJob } from "../jobs/lock.ts";
import { hasEnded } from "../jobs/state.ts";
import { readJob } from "../jobs/store.ts";
import { provesLease } from "./lease-token.ts";
import { type JoinedReport, joinedReport, type ReportRef } from "./report.ts";

/** A run, its job, and the database's clock, read together: what a report is judged by. */
export interface Reported {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
  readonly now: Date;
}

/** Why a report may not change its job. */
export type ReportRefusal = LeaseLostError | JobPoisonedError | IllegalTransitionError;

/**
 * Whether the token is, or was, the run's: what everything else of a report depends on. An unknown run and a wrong
 * token get the same answer: a token cannot be tried out.
 */
export function recogniseReport<R extends Reported>(
  reported: R | undefined,
  token: string,
): R | LeaseLostError | JobPoisonedError {
  if (!reported || !provesLease(reported.run, token)) return new LeaseLostError();
  return reported.job.state === "POISONED" ? new JobPoisonedError(reported.job) : reported;
}

/**
 * Judges whether a report with this token may change the job, in the order of section 6: what was read, or why not.
 * @param to the state that the report would bring the job to, for the message.
 */
export function admitReport<R extends Reported>(
  reported: R | undefined,
  token: string,
  to: JobState,
): R | ReportRefusal {
  const recognised = recogniseReport(reported, token);
  if (recognised instanceof AppError) return recognised;
  const { job, run, now } = recognised;
  if (hasEnded(job.state)) return new IllegalTransitionError(job.state, to, directiveOf(job.state));
  const holds = run.state === "RUNNING" && run.leaseExpiresAt !== null && run.leaseExpiresAt > now;
  return holds && job.workflowRunId === run.id ? recognised : new LeaseLostError();
}

/** What a worker is told whose job has ended in this state. */
export function directiveOf(state: JobState): WorkflowDirective {
  switch (state) {
    case "RUNNING":
      return "CONTINUE";
    case "POISONED":
      return "STOP_POISONED";
    case "CANCELLED":
      return "STOP_CANCELLED";
    case "FAILED":
      return "STOP_FAILED";
    case "QUEUED":
    case "STALLED":
    case "AWAITING_VALIDATION":
    case "AWAITING_USER":
    case "COMPLETED":
    case "COMPLETED_WITH_ISSUES":
      return "STOP_LEASE_LOST";
  }
}

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
export async function lockReportedRuns(
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
  const rows = await tx.$queryRaw<(WorkflowRun & JoinedReport & { readonly hasOpenNodes: boolean })[]>`
    ${FORCED_GENERIC_PLAN} SELECT ${RUN_COLUMNS}, ${REPORT_COLUMNS},
      EXISTS (SELECT FROM node_executions n WHERE n.workflow_run_id = of_run AND n.finished_at IS NULL) AS "hasOpenNodes"
    FROM ${estimateFewRows(given, ids.length)} AS given JOIN workflow_runs ON id = of_run
    LEFT JOIN LATERAL (
      SELECT * FROM worker_reports WHERE workflow_run_id = of_run AND report_id = named LIMIT 1
    ) AS kept ON true`;
  return new Map(
    rows.flatMap((run) => {
      const job = jobs.get(run.jobId);
      const { hasOpenNodes } = run;
      return job ? [[run.id, { run, job, now: job.now, earlier: joinedReport(run), hasOpenNodes }] as const] : [];
    }),
  );
}

/** Reports of one call are judged one after another: what one of them does to its job has been done for those after it. */
export class SequentialReports {
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
  noteState(jobId: string, state: JobState): void {
    this.#became.set(jobId, state);
  }
}

/** A run with its job and the database's clock, without a lock: good for refusing early, never for deciding. */
export async function readReportedRun(tx: Transaction, runId: string): Promise<Reported | undefined> {
  const [run] = await tx.$queryRaw<(WorkflowRun & { now: Date })[]>`
    SELECT ${RUN_COLUMNS}, clock_timestamp() AS now FROM workflow_runs WHERE id = ${runId}::uuid`;
  const job = run && (await readJob(tx, run.jobId));
  return job && { run, job, now: run.now };
}
