import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import type { AccessModeViolationError, InvalidInputError } from "../errors.ts";
import type { MetricsDelta } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import { redactText } from "../log/redact.ts";
import { admitReport, type ReportRefusal } from "./admission.ts";
import { afterFailure } from "./backoff.ts";
import type { EndedRun } from "./completion.ts";
import { lockReportedRuns } from "./lock.ts";
import { assessReport } from "./policy.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { endedRun, endRunsCte, type RunEnd } from "./store.ts";
import { failViolatingRun } from "./violating-runs.ts";

export interface FailWorkflow extends Report {
  readonly errorMessage: string;
  readonly retryable: boolean;
  readonly metrics: MetricsDelta;
}

/** Why a run was not failed as its worker asked. */
export type FailWorkflowError = ReportRefusal | InvalidInputError | AccessModeViolationError;

/**
 * Ends a run as failed (section 6). The job is queued again while it is worth it and attempts are left, else failed.
 * @returns the job and the run, or why not.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export function failWorkflow(engine: Engine, input: FailWorkflow): Promise<EndedRun | FailWorkflowError> {
  return inTransaction(engine, (tx) => fail(tx, engine, input));
}

async function fail(tx: Transaction, engine: Engine, input: FailWorkflow): Promise<EndedRun | FailWorkflowError> {
  const found = (await lockReportedRuns(tx, [input])).get(input.workflowRunId);
  const path = ["input"];
  const admission = admitReport(input, found, {
    to: "FAILED",
    endsRun: true,
    // Not the budget: it does not fail this report, which gets what it asked for, a run that failed.
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
  // Beyond its budget a job is not tried again: the first report of the next attempt could only fail it.
  const next = afterFailure(
    job,
    { retryable: input.retryable && !overBudget, reason: overBudget ? "budget_exceeded" : "failed_by_worker" },
    engine.backoff,
  );
  const end: RunEnd = { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now };
  const written = await writeVersion(
    tx,
    {
      job,
      set: { ...metrics, ...next, errorMessage },
      event: {
        type: "STATE_CHANGED",
        by: { actor: "AGENT", actorId: run.workerId },
        payload: {
          reason: next.statusReason,
          retryable: input.retryable,
          error_message: errorMessage,
          ...(overBudget ? { ace_code: "ACE-001", detail: overBudget.detail } : {}),
        },
      },
    },
    [...endRunsCte([end]), ...insertReportsCte(toReportRows(input, job))],
  );
  return { job: written.job, run: endedRun(run, end) };
}
