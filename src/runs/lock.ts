import { batchCalls } from "../db/batch.ts";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { JOB_PREFIX, type JobSummary, PREFIXED_JOB_SUMMARY_COLUMNS } from "../db/job-columns.ts";
import { estimateFewRows, PREPARE_MARKER } from "../db/prepared.ts";
import { REPORT_COLUMNS, RUN_COLUMNS, type Run, type StoredReport } from "../db/rows.ts";
import { allWorkspaces, type Scope } from "../db/scope.ts";
import { readWithRetry, type Transaction } from "../db/transaction.ts";
import { type LockedJobWithWriteScope, lockJobsWithWriteScope } from "../jobs/lock.ts";
import { readKnownNodes } from "./nodes.ts";
import { type JoinedReport, joinedReport, type LeaseProof, type ReportRef } from "./report.ts";
import type { KnownNodes, Step } from "./steps.ts";

/** A run, its job and the database's clock: everything that a lease is checked by. */
export interface RunWithJob {
  readonly job: JobSummary;
  readonly run: Run;
  readonly now: Date;
}

/** A run that was read under its job's lock, with everything else that a report is checked by. */
export interface RunUnderJobLock extends RunWithJob {
  readonly job: LockedJobWithWriteScope;
  /** The stored report of this run with the same `reportId`; undefined when there is none. */
  readonly earlierReport: StoredReport | undefined;
  readonly nodes: KnownNodes;
}

/** The run that a report is about, and its steps, which decide what is read of the run's nodes. */
export type LockedReport = ReportRef & { readonly steps?: readonly Step[] };

/** The run that a report is about, and the workspace of its sender. */
export type ScopedReport = ReportRef & Pick<LeaseProof, "workspaceId">;

/**
 * The scope of reports that are handled together: the workspaces of their senders. A sender of the whole deployment that named none
 * names its run alone, which tells the workspace; the lease token is checked with it.
 */
export function scopeOfReports(reports: readonly ScopedReport[]): Scope {
  const ids = reports.flatMap(({ workspaceId }) => workspaceId ?? []);
  return ids.length === reports.length ? ids : allWorkspaces("reports");
}

/**
 * Locks the jobs of the runs that are reported on, then reads the runs as they are under those locks (section 4).
 * @param ifLocked what to do about a job that another transaction has locked: wait for it, or skip its run.
 * @returns the runs by run id, without those that do not exist or were skipped.
 */
export async function lockJobsOfRuns(
  tx: Transaction,
  reports: readonly LockedReport[],
  ifLocked: "WAIT" | "SKIP" = "WAIT",
): Promise<ReadonlyMap<string, RunUnderJobLock>> {
  const runIds = reports.map(({ workflowRunId }) => workflowRunId);
  const jobsOfRuns = Prisma.sql`job_id = ANY(ARRAY(SELECT r.job_id FROM workflow_runs r WHERE r.id = ANY(${runIds}::uuid[])))`;
  const jobs = await lockJobsWithWriteScope(tx, jobsOfRuns, ifLocked);
  // Not in the statement that locks: after waiting for a lock, a statement rereads the locked rows alone, and would see runs,
  // nodes and reports as they were before the wait.
  const rows = await tx.$queryRaw<(Run & JoinedReport & { readonly hasOpenNodes: boolean })[]>`
    ${PREPARE_MARKER} SELECT ${RUN_COLUMNS}, earlier_report.*,
      EXISTS (SELECT FROM node_executions n WHERE n.workflow_run_id = reported_run_id AND n.finished_at IS NULL)
        AS "hasOpenNodes"
    FROM ${reportedRuns(reports)} JOIN workflow_runs ON id = reported_run_id ${EARLIER_REPORT}`;
  const stepsOf = new Map(reports.map(({ workflowRunId, steps = [] }) => [workflowRunId, steps]));
  const withSteps = rows.flatMap(({ id: runId, jobId }) => {
    const steps = stepsOf.get(runId) ?? [];
    return steps.length === 0 ? [] : [{ runId, jobId, steps }];
  });
  const known = await readKnownNodes(tx, withSteps);
  return new Map(
    rows.flatMap((row) => {
      const job = jobs.get(row.jobId);
      if (!job) return [];
      const nodes = known.get(row.id) ?? {
        open: [],
        hasOtherOpen: row.hasOpenNodes,
        lastSequence: 0,
        states: new Map(),
      };
      return [[row.id, { run: row, job, now: job.now, earlierReport: joinedReport(row), nodes }] as const];
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

/** A run that a report is about, as it was without a lock: it may be outdated at once. */
export interface ReportedRun extends RunWithJob {
  /** The patterns that PromptInjectionGuard seeks by the job's capability profile (section 7). */
  readonly injectionPatterns: readonly string[];
  /** The stored report of this run with the same `reportId`; undefined when there is none. */
  readonly earlierReport: StoredReport | undefined;
}

/**
 * Reads the runs that are reported on, with their jobs and the database's clock, without a lock. Use it to refuse a report early,
 * never to accept one.
 * @returns the run of each report, in their order; undefined where there is none.
 */
async function readReportedRuns(
  db: Transaction,
  reports: readonly ReportRef[],
): Promise<readonly (ReportedRun | undefined)[]> {
  type Row = Run & JoinedReport & Pick<ReportedRun, "now" | "injectionPatterns"> & { readonly place: number };
  const rows = await db.$queryRaw<Row[]>`
    ${PREPARE_MARKER} SELECT place::int, ${RUN_COLUMNS}, clock_timestamp() AS now, earlier_report.*, job.*
    FROM ${reportedRuns(reports)} JOIN workflow_runs ON id = reported_run_id
    JOIN LATERAL (
      SELECT ${PREFIXED_JOB_SUMMARY_COLUMNS}, (
        SELECT injection_patterns FROM capability_profiles WHERE id = capability_profile_id) AS "injectionPatterns"
      FROM ai_jobs j WHERE j.job_id = workflow_runs.job_id LIMIT 1
    ) AS job ON true ${EARLIER_REPORT}`;
  const runs = new Map(
    rows.map((row) => {
      const { now, injectionPatterns } = row;
      const run = { run: row, job: jobOf(row), now, injectionPatterns, earlierReport: joinedReport(row) };
      return [row.place, run] as const;
    }),
  );
  return reports.map((_, index) => runs.get(index + 1));
}

/** Reads what `readReportedRuns` does. Calls of one tick of the event loop share a statement, and go on together. */
export type ReportedRunsReader = (reports: readonly ScopedReport[]) => Promise<readonly (ReportedRun | undefined)[]>;

export function createReportedRunsReader(prisma: PrismaClient): ReportedRunsReader {
  const read: ReportedRunsReader = (reports) =>
    readWithRetry(scopeOfReports(reports), () => readReportedRuns(prisma, reports));
  return batchCalls({
    keyOf: () => "",
    maxCalls: MAX_SHARED_READS,
    send: "END_OF_TICK",
    runTogether: async (calls) => {
      const runs = await read(calls.flat());
      let start = 0;
      return calls.map(({ length }) => {
        start += length;
        return runs.slice(start - length, start);
      });
    },
    runAlone: read,
    mayRunAgain: () => true,
  });
}

const MAX_SHARED_READS = 20;

/** @returns the job of a row in which the names of its columns have a prefix. */
function jobOf(row: object): JobSummary;
function jobOf(row: object): unknown {
  const columns = Object.entries(row).filter(([name]) => name.startsWith(JOB_PREFIX));
  return Object.fromEntries(columns.map(([name, value]) => [name.slice(JOB_PREFIX.length), value]));
}

/** The table `reported`, of the runs that reports are about and the ids of these. */
function reportedRuns(reports: readonly ReportRef[]): Prisma.Sql {
  const runIds = reports.map(({ workflowRunId }) => workflowRunId);
  const reportIds = reports.map(({ reportId }) => reportId ?? null);
  const refs = Prisma.sql`unnest(${runIds}::uuid[], ${reportIds}::uuid[]) WITH ORDINALITY AS t(reported_run_id, reported_id, place)`;
  return Prisma.sql`${estimateFewRows(refs, runIds.length)} AS reported`;
}

/** Joins each reported run with the stored report that has the same id. */
const EARLIER_REPORT = Prisma.sql`LEFT JOIN LATERAL (
  SELECT ${REPORT_COLUMNS} FROM worker_reports WHERE workflow_run_id = reported_run_id AND report_id = reported_id LIMIT 1
) AS earlier_report ON true`;
