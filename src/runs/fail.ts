import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import type { AccessModeViolationError, InvalidInputError } from "../errors.ts";
import type { MetricsDelta } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import { redactText } from "../log/redact.ts";
import { admitReport, type ReportRefusal } from "./admission.ts";
import { afterFailure } from "./backoff.ts";
import type { ReleasedRun } from "./completion.ts";
import { lockJobsOfRuns } from "./lock.ts";
import { assessReport } from "./policy.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { type LeaseRelease, releasedRun, releaseLeasesCte } from "./store.ts";
import { failViolatingRun } from "./violating-runs.ts";

/** A worker's report that its run has failed. */
export interface FailWorkflow extends Report {
  readonly errorMessage: string;
  /** Whether another attempt may succeed. False fails the job for good. */
  readonly retryable: boolean;
  readonly metrics: MetricsDelta;
}

/** Why a report of a failure was refused. */
export type FailWorkflowError = ReportRefusal | InvalidInputError | AccessModeViolationError;

/**
 * Ends a run as failed (section 6). Its job is queued again when the failure is retryable, attempts are left and the token
 * budget is not exceeded; else the job fails, too.
 * @returns the job and the run, or why the report was refused.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export function failWorkflow(engine: EngineContext, input: FailWorkflow): Promise<ReleasedRun | FailWorkflowError> {
  return inTransaction(engine, (tx) => fail(tx, engine, input));
}

async function fail(
  tx: Transaction,
  engine: EngineContext,
  input: FailWorkflow,
): Promise<ReleasedRun | FailWorkflowError> {
  const lockedRun = (await lockJobsOfRuns(tx, [input])).get(input.workflowRunId);
  const path = ["input"];
  const admission = admitReport(input, lockedRun, {
    to: "FAILED",
    releasesLease: true,
    // No BUDGET_EXCEEDED: exceeding the budget would fail the run, which is what this report asks for anyway.
    violations: ["ACCESS_MODE_VIOLATION"],
    path,
  });
  if (admission.kind === "REFUSED" || admission.kind === "ID_TAKEN") return admission.error;
  const { job, run } = admission;
  if (admission.kind === "REPEAT") return { job, run };
  const assessment = assessReport(job, input, path);
  if (assessment.kind === "REFUSED") return assessment.error;
  if (assessment.kind === "VIOLATION") {
    return failViolatingRun(tx, { job, run, report: input, violation: assessment.violation });
  }
  const { metrics, overBudget } = assessment;
  const errorMessage = redactText(input.errorMessage);
  // A job over its token budget is not retried: the first step or completion of its next attempt would fail it.
  const jobPatch = afterFailure(
    job,
    { retryable: input.retryable && !overBudget, reason: overBudget ? "budget_exceeded" : "failed_by_worker" },
    engine.backoff,
  );
  const release: LeaseRelease = { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now };
  const written = await writeVersion(
    tx,
    {
      job,
      set: { ...metrics, ...jobPatch, errorMessage },
      event: {
        type: "STATE_CHANGED",
        by: { actor: "AGENT", actorId: run.workerId },
        payload: {
          reason: jobPatch.statusReason,
          retryable: input.retryable,
          error_message: errorMessage,
          ...(overBudget ? { ace_code: "ACE-001", detail: overBudget.detail } : {}),
        },
      },
    },
    [...releaseLeasesCte([release]), ...insertReportsCte(toReportRows(input, job))],
  );
  return { job: written.job, run: releasedRun(run, release) };
}
