import type { JobSpending } from "../db/metrics.ts";
import { type Run, toDbEnum } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { transitionTo } from "../jobs/state.ts";
import { type WrittenVersion, writeVersions } from "../jobs/store.ts";
import { costPayload, insertUsageCte, type ReportWithCalls, toUsageEntries } from "../jobs/usage/ledger.ts";
import { capabilityDenial, type EventDraft, serverFor, workerOf } from "../log/event.ts";
import { observeSteps, writeNodesCte } from "./nodes.ts";
import { type PolicyError, type PolicyViolation, type PolicyViolationCode, policyError } from "./policy.ts";
import { progressOfVersion } from "./progress.ts";
import { insertReportsCte, type Report, toReportRows } from "./report.ts";
import { endedIn, onlyNodeOf, type StepPlan, stepsPayload } from "./steps.ts";
import { type LeaseRelease, releaseLeasesCte } from "./store.ts";

/** A run that fails because a report on it violated a policy, with everything needed to fail it. */
export interface ViolatingRun<Code extends PolicyViolationCode = PolicyViolationCode> {
  readonly job: LockedJobWithWriteScope;
  readonly run: Run;
  /** The report is stored with the violation, so that a repeat of it gets the same error. */
  readonly report: Report & ReportWithCalls;
  readonly violation: PolicyViolation<Code>;
  /** What the job has used then, when the report is applied in spite of the violation: what exceeds a budget counts. */
  readonly metrics?: JobSpending;
  /** What the report's steps make of the run's nodes, when it is applied in spite of the violation. */
  readonly plan?: StepPlan;
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
    const { message: errorMessage } = policyError(violation, job);
    return { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now, endReason: toDbEnum(violation.code) };
  });
  const reportRows = violating.flatMap(({ report, job, violation }) => toReportRows(report, job, { violation }));
  const usage = violating.flatMap(({ report, job, metrics, plan }) =>
    metrics ? toUsageEntries(report, job, plan && onlyNodeOf(plan)) : [],
  );
  const plans = violating.flatMap(({ plan }) => plan ?? []);
  for (const { job, plan } of violating) if (plan) observeSteps(tx, job.jobKind, plan);
  return writeVersions(
    tx,
    violating.map(({ job, run, report, violation, metrics, plan }) => ({
      job,
      set: {
        ...metrics,
        ...progressOfVersion(job, run),
        ...transitionTo(job, "FAILED", reasonOf(violation)),
        // No message for CAPABILITY_DENIED: here as at submit and claim, `statusReason` already names the capability.
        errorMessage: violation.code === "CAPABILITY_DENIED" ? null : policyError(violation, job).message,
      },
      event: eventOf(job, run, violation, metrics ? appliedPayload(report, plan) : {}),
    })),
    [
      ...writeNodesCte(plans),
      ...releaseLeasesCte(releases, endedIn(plans)),
      ...insertReportsCte(reportRows),
      ...insertUsageCte(usage),
    ],
  );
}

/** What the event says of a report that is applied in spite of its violation. */
type AppliedPayload = ReturnType<typeof costPayload> & ReturnType<typeof stepsPayload>;

function appliedPayload({ metrics }: ReportWithCalls, plan: StepPlan | undefined): AppliedPayload {
  return { ...(plan ? stepsPayload(plan) : {}), ...costPayload(metrics) };
}

/** @returns the job's machine-readable `statusReason`. */
export function reasonOf({ code, detail }: PolicyViolation): string {
  return code === "CAPABILITY_DENIED" ? `capability_denied: ${detail}` : code.toLowerCase();
}

/** @param applied what the payload says of what the version applies. */
function eventOf(
  job: LockedJobWithWriteScope,
  run: Run,
  violation: PolicyViolation,
  applied: AppliedPayload,
): EventDraft {
  switch (violation.code) {
    case "CAPABILITY_DENIED":
      return capabilityDenial(job, violation.detail, "completion", run.principalId);
    case "ACCESS_MODE_VIOLATION":
      return {
        type: "STATE_CHANGED",
        by: workerOf(run),
        payload: { reason: reasonOf(violation), detail: violation.detail },
      };
    case "BUDGET_EXCEEDED":
      return budgetEvent(run, violation, applied);
  }
}

/** @returns the event of a job that fails because a report on this run passed one of its budgets. */
export function budgetEvent(
  { principalId }: Pick<Run, "principalId">,
  violation: PolicyViolation,
  applied: AppliedPayload = {},
): EventDraft {
  return {
    type: "STATE_CHANGED",
    by: serverFor(principalId),
    payload: { reason: reasonOf(violation), ace_code: "ACE-001", detail: violation.detail, ...applied },
  };
}
