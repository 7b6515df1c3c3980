import type { JobSummary } from "../db/job-columns.ts";
import { MAX_SAFE_METRIC } from "../db/metrics.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { InvalidInputError, LeaseLostError } from "../errors.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { addMetrics, deltaOfCalls } from "../jobs/metrics.ts";
import { hasEnded, transitionTo } from "../jobs/state.ts";
import { writeVersion, writeVersions } from "../jobs/store.ts";
import { insertUsageCte, toEntriesBeside, toUsageEntries } from "../jobs/usage/ledger.ts";
import { type ModelCall, USAGE_NUMBERS } from "../jobs/usage/model-usage.ts";
import { workerOf } from "../log/event.ts";
import { hasLease, idTaken, provesRun } from "./admission.ts";
import { deltaPayload } from "./heartbeat.ts";
import { lockJobsOfRuns, type RunUnderJobLock, scopeOfReports } from "./lock.ts";
import { checkBudgets, type PolicyViolation, policyError } from "./policy.ts";
import { insertReportsCte, isSameReport, type Report, toReportRows } from "./report.ts";
import { releaseLeasesCte } from "./store.ts";
import { budgetEvent, reasonOf } from "./violating-runs.ts";

/** A worker's report of calls of models, which may come after its run has ended: what was used is counted all the same. */
export interface UsageReport extends Report {
  readonly reportId: string;
  /** At least one. */
  readonly usage: readonly ModelCall[];
}

/** The usage is counted, by this report or by an earlier one that was the same. */
export interface ReportedUsage {
  readonly job: JobSummary;
  /** Whether the run has no lease any more. */
  readonly isLate: boolean;
}

/** Why usage is not counted. */
export type ReportUsageError = InvalidInputError | LeaseLostError;

/** How long after the end of its run usage is taken, in milliseconds. */
const TAKEN_FOR_MS = 24 * 60 * 60 * 1000;

/**
 * Counts calls of models for a run, whether it still has its lease or has ended, however it ended (section 14). A job that has ended
 * keeps its state; one that has not, and passes a budget by it, fails.
 * @returns the job as it is then; or why nothing was counted: the run is not proven, ended more than 24 hours ago, another report of
 * it has this `reportId`, or a sum would grow beyond 2^53 - 1.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export function reportUsage(engine: EngineContext, report: UsageReport): Promise<ReportedUsage | ReportUsageError> {
  return inTransaction(engine, scopeOfReports([report]), async (tx) => {
    const lockedRun = (await lockJobsOfRuns(tx, [report])).get(report.workflowRunId);
    // As for other reports, who cannot prove the run learns nothing of it.
    if (!lockedRun || !provesRun(lockedRun.run, report)) return new LeaseLostError();
    const { job, earlierReport } = lockedRun;
    const isLate = !hasLease(lockedRun);
    if (earlierReport && !isSameReport(report, earlierReport)) return idTaken(["input"]);
    if (earlierReport) return { job, isLate };
    if (isTooLate(lockedRun)) return new LeaseLostError();
    const counted =
      job.state === "POISONED" ? await countBeside(tx, report, job) : await countInJob(tx, report, lockedRun, isLate);
    return counted instanceof InvalidInputError ? counted : { job: counted, isLate };
  });
}

function isTooLate({ run, now }: RunUnderJobLock): boolean {
  return run.finishedAt !== null && now.getTime() - run.finishedAt.getTime() > TAKEN_FOR_MS;
}

/** Counts usage for a poisoned job: in the ledger alone, since nothing of the job can change any more (section 5). */
async function countBeside(
  tx: Transaction,
  report: UsageReport,
  job: LockedJobWithWriteScope,
): Promise<LockedJobWithWriteScope | InvalidInputError> {
  const entries = toEntriesBeside(report, report.usage, job);
  // Nothing else adds them up: this job's metrics and cost are closed.
  if (entries.some((entry) => USAGE_NUMBERS.some((name) => entry[name] > MAX_SAFE_METRIC)))
    return tooMuch("The calls of one model are more than 2^53 - 1 together.");
  await writeVersions(
    tx,
    [],
    [...insertReportsCte(toReportRows(report, job, { isUsage: true })), ...insertUsageCte(entries)],
  );
  return job;
}

const USAGE_PATH = ["input", "usage"];

/** The calls are too many together, and no single field of them is to blame. */
function tooMuch(message: string): InvalidInputError {
  return new InvalidInputError(USAGE_PATH, message);
}

async function countInJob(
  tx: Transaction,
  report: UsageReport,
  { job, run }: RunUnderJobLock,
  isLate: boolean,
): Promise<LockedJobWithWriteScope | InvalidInputError> {
  const metrics = deltaOfCalls(report.usage);
  const spending = addMetrics(job, metrics, USAGE_PATH);
  if (spending instanceof InvalidInputError) return tooMuch(spending.message);
  const written = await writeVersion(
    tx,
    {
      job,
      set: spending,
      event: {
        type: "METRICS_RECORDED",
        by: workerOf(run),
        workflowRunId: run.id,
        payload: { ...deltaPayload(metrics), ...(isLate ? { is_late: true } : {}) },
      },
    },
    [
      ...insertReportsCte(toReportRows(report, job, { isUsage: true })),
      ...insertUsageCte(toUsageEntries({ workflowRunId: run.id, metrics }, job)),
    ],
  );
  const violation = hasEnded(job.state) ? null : checkBudgets(job, spending);
  return violation ? failOverBudget(tx, written.job, run, violation) : written.job;
}

/**
 * Fails a job that has not ended and passed a budget. Its latest run ends with it, whose worker may be another one than the one that
 * reported.
 */
async function failOverBudget(
  tx: Transaction,
  job: LockedJobWithWriteScope,
  reportedRun: RunUnderJobLock["run"],
  violation: PolicyViolation<"BUDGET_EXCEEDED">,
): Promise<LockedJobWithWriteScope> {
  const { message } = policyError(violation, job);
  const { workflowRunId: id, now: finishedAt } = job;
  const failed = await writeVersion(
    tx,
    {
      job,
      // A job that awaits a decision has outputs, and one that waits to be retried is due later; a failed job has neither.
      set: {
        ...transitionTo(job, "FAILED", reasonOf(violation)),
        errorMessage: message,
        jobOutputs: null,
        runAfter: null,
      },
      event: budgetEvent(reportedRun, violation),
    },
    releaseLeasesCte(
      id ? [{ id, state: "FAILED", errorMessage: message, finishedAt, endReason: "budget_exceeded" }] : [],
    ),
  );
  return failed.job;
}
