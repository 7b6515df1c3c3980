import { AppError, InvalidInputError } from "../errors.ts";
import { addMetrics, type MetricsDelta } from "../jobs/metrics.ts";
import { type JobChange, recordOne } from "../recorder/commit.ts";
import type { ReportedJob } from "../recorder/lock.ts";
import { redactText } from "../recorder/redact.ts";
import { inTransaction, type Transaction } from "../recorder/transaction.ts";
import { breachOf, breachOfAccess, breachOfBudget, errorOf, failBroken } from "./breach.ts";
import type { Completed } from "./complete.ts";
import type { Engine } from "./engine.ts";
import { admitReport, recogniseReport } from "./lease.ts";
import { isRepeated, keptReport, keptReports, type Report } from "./reports.ts";
import { afterFailure } from "./retry.ts";
import { type Ending, endedRuns, lockReported } from "./runs.ts";

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
  const reported = (await lockReported(tx, [input])).get(input.workflowRunId);
  const recognised = recogniseReport(reported, input.leaseToken);
  if (recognised instanceof AppError) return recognised;
  const repeated = isRepeated(input, recognised.earlier, ["input"]);
  if (repeated === true && recognised.earlier) {
    const breach = breachOf(recognised.earlier);
    return breach ? errorOf(breach, recognised.job) : recognised;
  }
  const admitted = admitReport(recognised, input.leaseToken, "FAILED");
  if (admitted instanceof AppError) return admitted;
  // Not before: a worker that must stop hears so whatever its report is.
  if (repeated instanceof AppError) return repeated;
  const { job, run } = admitted;
  const forbidden = breachOfAccess(job, input.metrics);
  if (forbidden) {
    const kept = keptReport(input, job, { breach: forbidden });
    const [failed] = await failBroken(tx, [{ job, run, breach: forbidden }], kept);
    return errorOf(forbidden, failed?.job ?? job);
  }
  const metrics = addMetrics(job, input.metrics, ["input", "metrics"]);
  if (metrics instanceof InvalidInputError) return metrics;
  const errorMessage = redactText(input.errorMessage);
  const ending: Ending = { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now };
  // Beyond its budget a job is not tried again; the worker gets what it asked for, a run that failed.
  const passed = breachOfBudget(job, metrics);
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
  const recorded = await recordOne(tx, change, [...endedRuns([ending]), ...keptReports(keptReport(input, job))]);
  return { job: recorded.job, run: { ...run, ...ending, leaseExpiresAt: null } };
}
