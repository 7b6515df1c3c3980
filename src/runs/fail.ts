import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError, InvalidInputError } from "../errors.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { addMetrics, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import { redactText } from "../log/redact.ts";
import { admitReport, lockReportedRuns, recogniseReport } from "./admission.ts";
import { afterFailure } from "./backoff.ts";
import type { Completed } from "./complete.ts";
import { checkAccessMode, checkTokenBudget, failViolatingRuns, policyError, violationKeptIn } from "./policy.ts";
import { insertReportsCte, isRepeat, type Report, toReportRows } from "./report.ts";
import { endRunsCte, type RunEnd } from "./store.ts";

export interface FailWorkflow extends Report {
  readonly errorMessage: string;
  readonly retryable: boolean;
  readonly metrics: MetricsDelta;
}

/** Ends a run as failed. The job is queued again while it is worth it and attempts are left, else failed. */
export function failWorkflow(engine: Engine, input: FailWorkflow): Promise<Completed | AppError> {
  return inTransaction(engine, (tx) => fail(tx, engine, input));
}

async function fail(tx: Transaction, engine: Engine, input: FailWorkflow): Promise<Completed | AppError> {
  const reported = (await lockReportedRuns(tx, [input])).get(input.workflowRunId);
  const recognised = recogniseReport(reported, input.leaseToken);
  if (recognised instanceof AppError) return recognised;
  const repeated = isRepeat(input, recognised.earlier, ["input"]);
  if (repeated === true && recognised.earlier) {
    const violation = violationKeptIn(recognised.earlier);
    return violation ? policyError(violation, recognised.job) : recognised;
  }
  const admitted = admitReport(recognised, input.leaseToken, "FAILED");
  if (admitted instanceof AppError) return admitted;
  // Not before: a worker that must stop hears so whatever its report is.
  if (repeated instanceof AppError) return repeated;
  const { job, run } = admitted;
  const forbidden = checkAccessMode(job, input.metrics);
  if (forbidden) {
    const kept = toReportRows(input, job, { violation: forbidden });
    const [failed] = await failViolatingRuns(tx, [{ job, run, violation: forbidden }], kept);
    return policyError(forbidden, failed?.job ?? job);
  }
  const metrics = addMetrics(job, input.metrics, ["input", "metrics"]);
  if (metrics instanceof InvalidInputError) return metrics;
  const errorMessage = redactText(input.errorMessage);
  const ending: RunEnd = { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now };
  // Beyond its budget a job is not tried again; the worker gets what it asked for, a run that failed.
  const passed = checkTokenBudget(job, metrics);
  const next = afterFailure(
    job,
    { retryable: input.retryable && !passed, reason: passed ? "budget_exceeded" : "failed_by_worker" },
    engine.backoff,
  );
  const change: JobChange<ReportedJob> = {
    job,
    set: { ...metrics, ...next, errorMessage },
    event: {
      type: "STATE_CHANGED",
      by: { actor: "AGENT", actorId: run.workerId },
      payload: {
        reason: next.statusReason,
        retryable: input.retryable,
        error_message: errorMessage,
        ...(passed ? { ace_code: "ACE-001", detail: passed.detail } : {}),
      },
    },
  };
  const recorded = await writeVersion(tx, change, [
    ...endRunsCte([ending]),
    ...insertReportsCte(toReportRows(input, job)),
  ]);
  return { job: recorded.job, run: { ...run, ...ending, leaseExpiresAt: null } };
}
