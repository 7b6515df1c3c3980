import type { JobSummary } from "../db/job-columns.ts";
import type { JobMetrics } from "../db/metrics.ts";
import type { KeptReport } from "../db/rows.ts";
import { AccessModeViolationError, BudgetExceededError, CapabilityDeniedError, InvalidInputError } from "../errors.ts";
import { type EntityRef, refuseWrites } from "../jobs/access-mode.ts";
import type { LockedJobSummary, ReportedJob } from "../jobs/lock.ts";
import { addMetrics, isOverBudget, type MetricsDelta } from "../jobs/metrics.ts";

/** The policies that a report is held to, each with the error that its worker is answered with. */
interface PolicyErrors {
  readonly ACCESS_MODE_VIOLATION: AccessModeViolationError;
  readonly BUDGET_EXCEEDED: BudgetExceededError;
  readonly CAPABILITY_DENIED: CapabilityDeniedError;
}

export type PolicyViolationCode = keyof PolicyErrors;

export type PolicyError<Code extends PolicyViolationCode = PolicyViolationCode> = PolicyErrors[Code];

/** A policy that a report violated: its run and its job fail for it, and are not tried again by policy (section 6). */
export interface PolicyViolation<Code extends PolicyViolationCode = PolicyViolationCode> {
  readonly code: Code;
  /** What exactly, in a sentence; for a denied capability, which one. */
  readonly detail: string;
}

const TO_ERROR: {
  readonly [Code in PolicyViolationCode]: (detail: string, job: JobSummary) => PolicyErrors[Code];
} = {
  ACCESS_MODE_VIOLATION: (detail) => new AccessModeViolationError(detail),
  BUDGET_EXCEEDED: (detail) =>
    new BudgetExceededError(`${detail} The report is kept, and the job has failed.`, { directive: "STOP_FAILED" }),
  CAPABILITY_DENIED: (detail, job) => new CapabilityDeniedError(detail, job),
};

/** What the worker of a report that violated a policy is answered. */
export function policyError<Code extends PolicyViolationCode>(
  { code, detail }: PolicyViolation<Code>,
  job: JobSummary,
): PolicyErrors[Code] {
  return TO_ERROR[code](detail, job);
}

/**
 * The violation for which a report that was kept failed its run; null where the report was accepted.
 * @param codes the policies that a report of its kind can violate.
 */
export function recordedViolation<Code extends PolicyViolationCode>(
  { policyViolationCode: kept, policyViolationDetail: detail }: KeptReport,
  codes: readonly Code[],
): PolicyViolation<Code> | null {
  if (kept === null || detail === null) return null;
  const code = codes.find((one) => one === kept);
  if (code === undefined) throw new Error(`A report was kept with ${kept}, which a report of its kind cannot violate.`);
  return { code, detail };
}

/** What a report brings of which policies and metrics are judged. */
interface ReportContent {
  readonly metrics: MetricsDelta;
  readonly writtenEntities?: readonly EntityRef[];
}

export type Assessment<Code extends PolicyViolationCode> =
  /** Nothing of the report is applied, and its run goes on. */
  | { readonly kind: "REFUSED"; readonly error: InvalidInputError }
  /** Nothing of the report is applied, and its run fails. */
  | { readonly kind: "VIOLATION"; readonly violation: PolicyViolation<Code | "ACCESS_MODE_VIOLATION"> }
  /** The job's metrics with the report's. They are kept, also where they exceed the job's token budget. */
  | {
      readonly kind: "WITHIN_POLICY";
      readonly metrics: JobMetrics;
      readonly overBudget: PolicyViolation<"BUDGET_EXCEEDED"> | null;
    };

/**
 * Judges what an admitted report brings (sections 3 and 6): the access mode before the metrics, because a report that wrote
 * what it may not must fail its run also where its metrics are malformed; and the budget by the metrics as they add up.
 * @param path where the report stands in the caller's input.
 * @param alsoWrong what is wrong with a report of this kind besides; the access mode alone comes before it.
 */
export function assessReport<Code extends PolicyViolationCode = never>(
  job: ReportedJob,
  { metrics: delta, writtenEntities = [] }: ReportContent,
  path: readonly string[],
  alsoWrong: PolicyViolation<Code> | InvalidInputError | null = null,
): Assessment<Code> {
  const violation = checkAccessMode(job, delta, writtenEntities);
  if (violation) return { kind: "VIOLATION", violation };
  if (alsoWrong instanceof InvalidInputError) return { kind: "REFUSED", error: alsoWrong };
  if (alsoWrong) return { kind: "VIOLATION", violation: alsoWrong };
  const metrics = addMetrics(job, delta, [...path, "metrics"]);
  if (metrics instanceof InvalidInputError) return { kind: "REFUSED", error: metrics };
  return { kind: "WITHIN_POLICY", metrics, overBudget: checkTokenBudget(job, metrics) };
}

/** The writes that the job's access mode forbids; null where there are none. */
function checkAccessMode(
  { accessMode, writeScope }: ReportedJob,
  { entitiesWritten }: MetricsDelta,
  writtenEntities: readonly EntityRef[],
): PolicyViolation<"ACCESS_MODE_VIOLATION"> | null {
  const detail = refuseWrites({ accessMode, entityRefs: writeScope }, writtenEntities, entitiesWritten);
  return detail === null ? null : { code: "ACCESS_MODE_VIOLATION", detail };
}

/** The token budget that these metrics exceed; null where they do not. */
function checkTokenBudget(job: LockedJobSummary, metrics: JobMetrics): PolicyViolation<"BUDGET_EXCEEDED"> | null {
  if (!isOverBudget(job, metrics)) return null;
  const detail = `The job has cost ${metrics.totalTokens} tokens, and its budget is ${job.tokenBudget}.`;
  return { code: "BUDGET_EXCEEDED", detail };
}
