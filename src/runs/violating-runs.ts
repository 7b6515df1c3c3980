import type { WorkflowRun } from "../db/generated/client/client.ts";
import type { JobMetrics } from "../db/metrics.ts";
import type { Transaction } from "../db/transaction.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { type WrittenVersion, writeVersions } from "../jobs/store.ts";
import { capabilityDenial, type EventDraft, SYSTEM_ACTOR } from "../log/event.ts";
import { type PolicyError, type PolicyViolation, type PolicyViolationCode, policyError } from "./policy.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { type LeaseRelease, releaseLeasesCte } from "./store.ts";

/** A run that fails because a report on it violated a policy, with everything needed to fail it. */
export interface ViolatingRun<Code extends PolicyViolationCode = PolicyViolationCode> {
  readonly job: LockedJobWithWriteScope;
  readonly run: WorkflowRun;
  /** The report is stored with the violation, so that a repeat of it gets the same error. */
  readonly report: Report;
  readonly violation: PolicyViolation<Code>;
  /** The job's new metrics, when the report is applied in spite of the violation: the tokens that exceed a budget count. */
  readonly metrics?: JobMetrics;
}

/**
 * Fails a run and its job for a policy violation (section 6).
 * @returns the error that answers the report.
 */
export async function failViolatingRun<Code extends PolicyViolationCode>(
  tx: Transaction,
  violating: ViolatingRun<Code>,
): Promise<PolicyError<Code>> {
  const [failed] = await failViolatingRuns(tx, [violating]);
  return policyError(violating.violation, failed?.job ?? violating.job);
}

/**
 * Fails runs and their jobs for policy violations (section 6), in one statement for all of them.
 * @returns in the order of `violating`, each job as it is now stored, with its event.
 */
export function failViolatingRuns(
  tx: Transaction,
  violating: readonly ViolatingRun[],
): Promise<readonly WrittenVersion<LockedJobWithWriteScope>[]> {
  const releases = violating.map(({ job, run, violation }): LeaseRelease => {
    return { id: run.id, state: "FAILED", errorMessage: policyError(violation, job).message, finishedAt: job.now };
  });
  const reportRows = violating.flatMap(({ report, job, violation }) => toReportRows(report, job, { violation }));
  return writeVersions(
    tx,
    violating.map(({ job, run, violation, metrics }) => ({
      job,
      set: {
        ...metrics,
        ...transitionTo(job, "FAILED", reasonOf(violation)),
        // No message for CAPABILITY_DENIED: here as at submit and claim, `statusReason` already names the capability.
        errorMessage: violation.code === "CAPABILITY_DENIED" ? null : policyError(violation, job).message,
      },
      event: eventOf(job, run, violation),
    })),
    [...releaseLeasesCte(releases), ...insertReportsCte(reportRows)],
  );
}

/** @returns the job's machine-readable `statusReason`. */
function reasonOf({ code, detail }: PolicyViolation): string {
  return code === "CAPABILITY_DENIED" ? `capability_denied: ${detail}` : code.toLowerCase();
}

function eventOf(job: LockedJobWithWriteScope, run: WorkflowRun, violation: PolicyViolation): EventDraft {
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
        by: SYSTEM_ACTOR,
        payload: { reason: reasonOf(violation), ace_code: "ACE-001", detail: violation.detail },
      };
  }
}
