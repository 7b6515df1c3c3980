import type { JobSummary } from "../db/job-columns.ts";
import type { JobSpending } from "../db/metrics.ts";
import type { StoredReport } from "../db/rows.ts";
import { AccessModeViolationError, BudgetExceededError, CapabilityDeniedError, InvalidInputError } from "../errors.ts";
import { checkWrites, type EntityRef } from "../jobs/access-mode.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { addMetrics, type Budgets, type MetricsDelta, passedBudget } from "../jobs/metrics.ts";

/** The policies that a report must comply with, each with the error that answers a report which violates it. */
export interface PolicyErrors {
  readonly ACCESS_MODE_VIOLATION: AccessModeViolationError;
  readonly BUDGET_EXCEEDED: BudgetExceededError;
  readonly CAPABILITY_DENIED: CapabilityDeniedError;
}

/** Which policy was violated. */
export type PolicyViolationCode = keyof PolicyErrors;

/** The error that answers a report which violated a policy. */
export type PolicyError<Code extends PolicyViolationCode = PolicyViolationCode> = PolicyErrors[Code];

/** That a report violated a policy: its run and its job fail, and the job is not retried by policy (section 6). */
export interface PolicyViolation<Code extends PolicyViolationCode = PolicyViolationCode> {
  readonly code: Code;
  /** A sentence that says what was violated and how; for CAPABILITY_DENIED, the id of the missing capability. */
  readonly detail: string;
}

const TO_ERROR: {
  readonly [Code in PolicyViolationCode]: (detail: string, job: JobSummary) => PolicyErrors[Code];
} = {
  ACCESS_MODE_VIOLATION: (detail) => new AccessModeViolationError(detail),
  BUDGET_EXCEEDED: (detail) =>
    new BudgetExceededError(`${detail} The report is kept, and the job has failed.`, { directive: "STOP_FAILED" }),
  CAPABILITY_DENIED: (detail, job) => new CapabilityDeniedError(detail, job, "STOP_FAILED"),
};

/**
 * @param job the job of the report, as it is stored after the violation failed it.
 * @returns the error that answers the report.
 */
export function policyError<Code extends PolicyViolationCode>(
  { code, detail }: PolicyViolation<Code>,
  job: JobSummary,
): PolicyErrors[Code] {
  return TO_ERROR[code](detail, job);
}

/**
 * @param codes the policies that a report of this kind can violate.
 * @returns the violation for which a stored report failed its run; null when the report was accepted.
 */
export function recordedViolation<Code extends PolicyViolationCode>(
  { policyViolationCode, policyViolationDetail: detail }: StoredReport,
  codes: readonly Code[],
): PolicyViolation<Code> | null {
  if (policyViolationCode === null || detail === null) return null;
  const code = codes.find((possible) => possible === policyViolationCode);
  if (code === undefined) {
    throw new Error(`A report is stored with ${policyViolationCode}, which a report of its kind cannot violate.`);
  }
  return { code, detail };
}

/** The part of a report that policies apply to. */
interface ReportContent {
  readonly metrics: MetricsDelta;
  readonly writtenEntities?: readonly EntityRef[];
}

/** Whether the content of an admitted report complies with the policies. */
export type Assessment<Code extends PolicyViolationCode> =
  /** Nothing of the report is applied, and its run stays running. */
  | { readonly kind: "REFUSED"; readonly error: InvalidInputError }
  /** Nothing of the report is applied, and its run fails. */
  | { readonly kind: "VIOLATION"; readonly violation: PolicyViolation<Code | "ACCESS_MODE_VIOLATION"> }
  /**
   * `metrics` are the job's metrics and cost with the report's added. They are to be written even when they exceed a budget of
   * the job, because tokens and money have been spent; `overBudget` then is the violation to fail the run for.
   */
  | {
      readonly kind: "WITHIN_POLICY";
      readonly metrics: JobSpending;
      readonly overBudget: PolicyViolation<"BUDGET_EXCEEDED"> | null;
    };

/**
 * Checks the content of an admitted report: checks 7 to 9 of section 6, "Reports". The access mode comes before the metrics,
 * because a forbidden write must fail the run even when the report's metrics are malformed.
 * @param path where the report is in the caller's input; for the path of an error.
 * @param kindSpecificError an error that only this kind of report can have, found by the caller. It takes effect after the
 * access mode and before the metrics.
 */
export function assessReport<Code extends PolicyViolationCode = never>(
  job: LockedJobWithWriteScope,
  { metrics: delta, writtenEntities = [] }: ReportContent,
  path: readonly string[],
  kindSpecificError: PolicyViolation<Code> | InvalidInputError | null = null,
): Assessment<Code> {
  const violation = checkAccessMode(job, delta, writtenEntities);
  if (violation) return { kind: "VIOLATION", violation };
  if (kindSpecificError instanceof InvalidInputError) return { kind: "REFUSED", error: kindSpecificError };
  if (kindSpecificError) return { kind: "VIOLATION", violation: kindSpecificError };
  const metrics = addMetrics(job, delta, [...path, "metrics"]);
  if (metrics instanceof InvalidInputError) return { kind: "REFUSED", error: metrics };
  return { kind: "WITHIN_POLICY", metrics, overBudget: checkBudgets(job, metrics) };
}

/** @returns the violation when the report wrote what the job's access mode forbids, else null. */
function checkAccessMode(
  { accessMode, writeScope }: LockedJobWithWriteScope,
  { entitiesWritten }: MetricsDelta,
  writtenEntities: readonly EntityRef[],
): PolicyViolation<"ACCESS_MODE_VIOLATION"> | null {
  const detail = checkWrites({ accessMode, entityRefs: writeScope }, writtenEntities, entitiesWritten);
  return detail === null ? null : { code: "ACCESS_MODE_VIOLATION", detail };
}

/** @returns the violation when a job that has used this has passed one of its budgets, else null. */
export function checkBudgets(job: Budgets, spending: JobSpending): PolicyViolation<"BUDGET_EXCEEDED"> | null {
  const passed = passedBudget(job, spending);
  if (!passed) return null;
  const { of, used, budget } = passed;
  const what = of === "tokens" ? "tokens" : "micro-units of cost";
  return { code: "BUDGET_EXCEEDED", detail: `The job has cost ${used} ${what}, and its budget is ${budget}.` };
}
