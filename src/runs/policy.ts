import type { WorkerReport, WorkflowRun } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import type { JobMetrics } from "../db/metrics.ts";
import type { Transaction } from "../db/transaction.ts";
import { AccessModeViolationError, BudgetExceededError, CapabilityDeniedError } from "../errors.ts";
import { type EntityRef, refuseWrites } from "../jobs/access-mode.ts";
import type { LockedJobSummary, ReportedJob } from "../jobs/lock.ts";
import { isOverBudget, type MetricsDelta } from "../jobs/metrics.ts";
import { transitionTo } from "../jobs/state.ts";
import { type WrittenVersion, writeVersions } from "../jobs/store.ts";
import { capabilityDenial, ENGINE, type EventDraft } from "../log/event.ts";
import { insertReportsCte } from "./report.ts";
import { endRunsCte, type RunEnd } from "./store.ts";

const POLICY_VIOLATIONS = ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED", "CAPABILITY_DENIED"] as const;

/** A rule that a report broke: its run and its job fail for it, and no policy tries them again (section 6). */
export interface PolicyViolation {
  readonly code: (typeof POLICY_VIOLATIONS)[number];
  /** What exactly; for a denied capability, which one. */
  readonly detail: string;
}

/** A run that fails for a breach. */
export interface ViolatingRun {
  readonly job: ReportedJob;
  readonly run: WorkflowRun;
  readonly violation: PolicyViolation;
  /** What is applied of the report all the same: a budget is passed by metrics that are kept. */
  readonly metrics?: JobMetrics;
}

/** Writes that the job's access mode forbids; null where there are none. */
export function checkAccessMode(
  { accessMode, writeScope }: ReportedJob,
  { entitiesWritten }: MetricsDelta,
  named: readonly EntityRef[] = [],
): PolicyViolation | null {
  const detail = refuseWrites({ accessMode, entityRefs: writeScope }, named, entitiesWritten);
  return detail === null ? null : { code: "ACCESS_MODE_VIOLATION", detail };
}

/** A token budget that these metrics pass; null where they do not. */
export function checkTokenBudget(job: LockedJobSummary, metrics: JobMetrics): PolicyViolation | null {
  if (!isOverBudget(job, metrics)) return null;
  const detail = `The job has cost ${metrics.totalTokens} tokens, and its budget is ${job.tokenBudget}.`;
  return { code: "BUDGET_EXCEEDED", detail };
}

/** The breach that a report which was kept before had made; null where it was accepted. */
export function violationKeptIn({ policyViolationCode, policyViolationDetail }: WorkerReport): PolicyViolation | null {
  const code = POLICY_VIOLATIONS.find((known) => known === policyViolationCode);
  return code === undefined || policyViolationDetail === null ? null : { code, detail: policyViolationDetail };
}

export type PolicyError = AccessModeViolationError | BudgetExceededError | CapabilityDeniedError;

/** What the worker is answered. */
export function policyError({ code, detail }: PolicyViolation, job: JobSummary): PolicyError {
  switch (code) {
    case "ACCESS_MODE_VIOLATION":
      return new AccessModeViolationError(detail);
    case "BUDGET_EXCEEDED":
      return new BudgetExceededError(`${detail} The report is kept, and the job has failed.`, {
        directive: "STOP_FAILED",
      });
    case "CAPABILITY_DENIED":
      return new CapabilityDeniedError(detail, job);
  }
}

/**
 * Fails runs with their jobs, in one statement however many they are. In the order of `broken`.
 * @param kept the reports that broke the rules.
 */
export function failViolatingRuns(
  tx: Transaction,
  broken: readonly ViolatingRun[],
  kept: readonly WorkerReport[],
): Promise<readonly WrittenVersion<ReportedJob>[]> {
  const endings = broken.map(({ job, run, violation }): RunEnd => {
    return { id: run.id, state: "FAILED", errorMessage: policyError(violation, job).message, finishedAt: job.now };
  });
  return writeVersions(
    tx,
    broken.map(({ job, run, violation, metrics }) => ({
      job,
      set: {
        ...metrics,
        ...transitionTo(job, "FAILED", reasonOf(violation)),
        // A denial says all there is to say in its reason, wherever it is made.
        errorMessage: violation.code === "CAPABILITY_DENIED" ? null : policyError(violation, job).message,
      },
      event: eventOf(job, run, violation),
    })),
    [...endRunsCte(endings), ...insertReportsCte(kept)],
  );
}

function reasonOf({ code, detail }: PolicyViolation): string {
  return code === "CAPABILITY_DENIED" ? `capability_denied: ${detail}` : code.toLowerCase();
}

function eventOf(job: LockedJobSummary, run: WorkflowRun, violation: PolicyViolation): EventDraft {
  switch (violation.code) {
    case "CAPABILITY_DENIED":
      return capabilityDenial(job, violation.detail, "completion");
    case "ACCESS_MODE_VIOLATION":
      return {
        type: "STATE_CHANGED",
        by: { actor: "AGENT", actorId: run.workerId },
        payload: { reason: reasonOf(violation), detail: violation.detail },
      };
    case "BUDGET_EXCEEDED":
      return {
        type: "STATE_CHANGED",
        by: ENGINE,
        payload: { reason: reasonOf(violation), ace_code: "ACE-001", detail: violation.detail },
      };
  }
}
