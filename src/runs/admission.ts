import type { JobState } from "../db/generated/client/enums.ts";
import type { Run, StoredReport } from "../db/rows.ts";
import { AppError, IllegalTransitionError, InvalidInputError, JobPoisonedError, LeaseLostError } from "../errors.ts";
import { directiveOf } from "../jobs/directive.ts";
import type { LockedJobWithWriteScope } from "../jobs/lock.ts";
import { hasEnded, isTerminal } from "../jobs/state.ts";
import { provesLease } from "./lease-token.ts";
import type { RunUnderJobLock, RunWithJob } from "./lock.ts";
import { type PolicyError, type PolicyViolationCode, policyError, recordedViolation } from "./policy.ts";
import { isSameReport, type LeaseProof, type Report } from "./report.ts";
import type { KnownNodes } from "./steps.ts";

/** Why a report may not change its job. Its worker must stop. */
export type ReportRefusal = LeaseLostError | JobPoisonedError | IllegalTransitionError;

/** How the admission of the four kinds of report (advance, heartbeat, complete, fail) differs. */
export interface ReportRules<Code extends PolicyViolationCode> {
  /** The state that the report would move the job to; named in the message of an IllegalTransitionError. */
  readonly to: JobState;
  /**
   * Whether the report releases its run's lease: a completion or a failure. A repeat of such a report is accepted although the
   * run has no lease any more.
   */
  readonly releasesLease: boolean;
  /** The policy violations that a report of this kind can commit. */
  readonly violations: readonly Code[];
  /** Where the report is in the caller's input, such as `["input", "heartbeats", "0"]`; for the path of an error. */
  readonly path: readonly string[];
}

/** What to do with a report. */
export type Admission<Code extends PolicyViolationCode = PolicyViolationCode> =
  /** The report changes nothing, and its worker must stop. */
  | { readonly kind: "REFUSED"; readonly error: ReportRefusal | PolicyError<Code> }
  /** The worker has the lease, but another report of the run has this `reportId`: nothing of this report is applied. */
  | {
      readonly kind: "ID_TAKEN";
      readonly error: InvalidInputError;
      readonly run: Run;
      readonly job: LockedJobWithWriteScope;
    }
  /** The same report was accepted before: it gets the same answer and is not applied again. */
  | {
      readonly kind: "REPEAT";
      readonly job: LockedJobWithWriteScope;
      readonly run: Run;
      readonly earlierReport: StoredReport;
    }
  /** The report is new, and its worker has the lease. */
  | {
      readonly kind: "ADMITTED";
      readonly job: LockedJobWithWriteScope;
      readonly run: Run;
      readonly nodes: KnownNodes;
    };

/**
 * Decides whether a report is applied, by the checks 1 to 6 of section 6, "Reports", with the numbers that they have there.
 * The order of the checks matters:
 *
 * 1. The token is checked first, so that a caller who cannot prove the lease learns nothing about the job or its reports.
 *    An unknown run, a run of another workspace or principal and a wrong token get the same answer, so run ids cannot be found
 *    by trying.
 * 2. A poisoned job is refused before repeats are looked at: a worker that repeats a report must be told to discard its
 *    results.
 * 3. A repeat of a report that violated a policy gets the same error again, and a repeat of a completion or failure is
 *    accepted again. Both come before the state and the lease, because the first report changed the state and released the
 *    lease: otherwise the worker would get ILLEGAL_TRANSITION instead of the violation, or instead of its success.
 * 4. The job's state is checked before the lease. A job that has ended has no lease, and "cancelled" or "failed" is more
 *    useful to its worker than "lease lost".
 * 5. The run must have a lease that has not expired, and must be the job's latest run.
 * 6. Other uses of a known `reportId` (a repeat of a step or heartbeat, or a different report with the same id) come last:
 *    a worker that must stop is told so whatever the `reportId` says.
 *
 * @param lockedRun the report's run, read under its job's lock; undefined when there is no such run.
 */
export function admitReport<Code extends PolicyViolationCode>(
  report: Report,
  lockedRun: RunUnderJobLock | undefined,
  { to, releasesLease, violations, path }: ReportRules<Code>,
): Admission<Code> {
  const proven = checkProof(lockedRun, report);
  if (proven instanceof AppError) return { kind: "REFUSED", error: proven };
  const { job, run, earlierReport, nodes } = proven;
  const repeated = earlierReport && isSameReport(report, earlierReport) ? earlierReport : undefined;
  const violation = repeated && recordedViolation(repeated, violations);
  if (violation) return { kind: "REFUSED", error: policyError(violation, job) };
  if (repeated && releasesLease) return { kind: "REPEAT", job, run, earlierReport: repeated };
  const refusal = checkStateAndLease(proven, to);
  if (refusal) return { kind: "REFUSED", error: refusal };
  if (repeated) return { kind: "REPEAT", job, run, earlierReport: repeated };
  if (!earlierReport) return { kind: "ADMITTED", job, run, nodes };
  return { kind: "ID_TAKEN", error: idTaken(path), job, run };
}

/** @returns the refusal of a report whose `reportId` another report of its run has. */
export function idTaken(path: readonly string[]): InvalidInputError {
  const message = "Another report of this run has this reportId. Send each new report with a new reportId.";
  return new InvalidInputError([...path, "reportId"], message);
}

/**
 * Makes the checks 1, 2, 4 and 5 of `admitReport`: whether the holder of this token may change the job now.
 * @param to the state that the report would move the job to; named in the message of an IllegalTransitionError.
 * @returns `runWithJob` when it may, else the refusal.
 */
export function checkLease<Run extends RunWithJob>(
  runWithJob: Run | undefined,
  proof: LeaseProof,
  to: JobState,
): Run | ReportRefusal {
  const proven = checkProof(runWithJob, proof);
  if (proven instanceof AppError) return proven;
  return checkStateAndLease(proven, to) ?? proven;
}

/**
 * Decides whether the holder of this token may report a security violation of a job: the run is the job's, and has the lease; or
 * the job has ended for good, so that nothing of it can change any more.
 * @returns `runWithJob` when it may, else the refusal, which is the same whatever is wrong.
 */
export function checkHolder<Run extends RunWithJob>(
  runWithJob: Run | undefined,
  proof: LeaseProof,
  jobId: string,
): Run | LeaseLostError {
  if (!runWithJob || !provesRun(runWithJob.run, proof) || runWithJob.job.jobId !== jobId) return new LeaseLostError();
  return isTerminal(runWithJob.job.state) || hasLease(runWithJob) ? runWithJob : new LeaseLostError();
}

/**
 * Checks 1 and 2: that the run is in the sender's workspace and was claimed by the sender's principal, that the token is, or once
 * was, the token of its lease, and that the job is not poisoned.
 */
function checkProof<Run extends RunWithJob>(
  runWithJob: Run | undefined,
  proof: LeaseProof,
): Run | LeaseLostError | JobPoisonedError {
  if (!runWithJob || !provesRun(runWithJob.run, proof)) return new LeaseLostError();
  return runWithJob.job.state === "POISONED" ? new JobPoisonedError(runWithJob.job, "STOP_POISONED") : runWithJob;
}

/** Whether the run is in the sender's workspace and was claimed by the sender's principal, and the token is, or once was, its lease's. */
export function provesRun(run: Run, { leaseToken, workspaceId, principalId }: LeaseProof): boolean {
  const isOfWorkspace = workspaceId == null || run.workspaceId === workspaceId;
  const isOfPrincipal = principalId == null || run.principalId === null || run.principalId === principalId;
  return provesLease(run, leaseToken) && isOfWorkspace && isOfPrincipal;
}

/** Checks 4 and 5: null when the job has not ended and its latest run is this one, with a lease that has not expired. */
function checkStateAndLease(runWithJob: RunWithJob, to: JobState): ReportRefusal | null {
  const { state } = runWithJob.job;
  if (hasEnded(state)) return new IllegalTransitionError(state, to, directiveOf(state));
  return hasLease(runWithJob) ? null : new LeaseLostError();
}

/** Whether a run is its job's latest one, with a lease that has not expired. */
export function hasLease({ job, run, now }: RunWithJob): boolean {
  const isLeased = run.state === "RUNNING" && run.leaseExpiresAt !== null && run.leaseExpiresAt > now;
  return isLeased && job.workflowRunId === run.id;
}
