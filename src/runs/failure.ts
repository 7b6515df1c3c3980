import { type AccessModeViolationError, InvalidInputError } from "../errors.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { costPayload } from "../jobs/usage/ledger.ts";
import { workerOf } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import type { ReportRefusal } from "./admission.ts";
import { afterFailure, type Backoff } from "./backoff.ts";
import type { RunUnderJobLock } from "./lock.ts";
import { assessReport } from "./policy.ts";
import { admitRelease, type ReleaseDecision, violationDecision } from "./release.ts";
import type { Report } from "./report.ts";

/** A worker's report that its run has failed. */
export interface Failure extends Report {
  readonly errorMessage: string;
  /** Whether another attempt may succeed. False fails the job for good. */
  readonly retryable: boolean;
  /** The earliest time of the next attempt, such as a provider's Retry-After; null, as left out: the backoff alone decides. */
  readonly retryAfter?: Date | null | undefined;
  readonly metrics: MetricsDelta;
}

/** How far ahead, in milliseconds, a worker may put the next attempt. */
const MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1000;

/** Why a report of a failure that has passed its guards was refused. */
export type FailureError = ReportRefusal | InvalidInputError | AccessModeViolationError;

/** Everything that a report of a failure brings. */
export function sourcesOfFailure({ errorMessage }: Failure): readonly GuardedSource[] {
  return [{ sourceId: null, path: "errorMessage", value: errorMessage }];
}

/**
 * Decides what to do with a report of a failure (section 6). Reads and writes nothing: the caller writes the decisions of all
 * failures of a call together.
 * @param lockedRun the failure's run, read under its job's lock; undefined when there is no such run.
 * @param path where the failure is in the caller's input; for the path of an error.
 * @param guardsRun how many guards this server ran over the report.
 */
export function decideFailure(
  failure: Failure,
  lockedRun: RunUnderJobLock | undefined,
  path: readonly string[],
  guardsRun: number,
  backoff: Backoff,
): ReleaseDecision<FailureError> {
  const admission = admitRelease(failure, lockedRun, {
    to: "FAILED",
    // No BUDGET_EXCEEDED: exceeding the budget would fail the run, which is what this report asks for anyway.
    violations: ["ACCESS_MODE_VIOLATION"],
    path,
  });
  if (admission.kind !== "ADMITTED") return admission;
  const { job, run } = admission;
  const assessment = assessReport(job, failure, path);
  if (assessment.kind === "REFUSED") return assessment;
  if (assessment.kind === "VIOLATION") {
    return violationDecision({ job, run, report: failure, violation: assessment.violation });
  }
  const { retryAfter = null } = failure;
  if (retryAfter !== null && retryAfter.getTime() - job.now.getTime() > MAX_RETRY_AFTER_MS) {
    return {
      kind: "REFUSED",
      error: new InvalidInputError([...path, "retryAfter"], "Give a time at most 24 hours ahead."),
    };
  }
  const { overBudget } = assessment;
  const metrics = { ...assessment.metrics, ...countGuards(assessment.metrics, guardsRun) };
  const { retryable } = failure;
  const errorMessage = redactText(failure.errorMessage);
  // A job over a budget is not retried: the first step or completion of its next attempt would fail it.
  const jobPatch = afterFailure(
    job,
    {
      retryable: retryable && !overBudget,
      reason: overBudget ? "budget_exceeded" : "failed_by_worker",
      notBefore: retryAfter,
    },
    backoff,
  );
  return {
    kind: "ACCEPTED",
    report: failure,
    run,
    release: { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now, endReason: "failed" },
    change: {
      job,
      set: { ...metrics, ...jobPatch, errorMessage },
      event: {
        type: "STATE_CHANGED",
        by: workerOf(run),
        payload: {
          reason: jobPatch.statusReason,
          retryable,
          error_message: errorMessage,
          ...(overBudget ? { ace_code: "ACE-001", detail: overBudget.detail } : {}),
          ...costPayload(failure.metrics),
        },
      },
    },
  };
}
