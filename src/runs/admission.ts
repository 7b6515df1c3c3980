import type { WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import type { KeptReport } from "../db/rows.ts";
import {
  AppError,
  IllegalTransitionError,
  InvalidInputError,
  JobPoisonedError,
  LeaseLostError,
  type WorkflowDirective,
} from "../errors.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { hasEnded } from "../jobs/state.ts";
import { provesLease } from "./lease-token.ts";
import type { LockedRun, ReportedRun } from "./lock.ts";
import { keptViolation, type PolicyError, type PolicyViolationCode, policyError } from "./policy.ts";
import { isSameReport, type Report } from "./report.ts";

/** Why a report may not change its job: its worker must stop. */
export type ReportRefusal = LeaseLostError | JobPoisonedError | IllegalTransitionError;

/** What differs in the admission of the four kinds of report: a heartbeat, a step, a completion, a failure. */
export interface ReportRules<Code extends PolicyViolationCode> {
  /** The state that the report would bring the job to, for the message of a refusal. */
  readonly to: JobState;
  /** Whether the report ends its run, so that it is sent again when the run holds no lease any more. */
  readonly endsRun: boolean;
  /** The policies that a report of this kind can violate. */
  readonly violations: readonly Code[];
  /** Where the report stands in the caller's input. */
  readonly path: readonly string[];
}

/** What is done with a report. */
export type Admission<Code extends PolicyViolationCode = PolicyViolationCode> =
  /** It changes nothing, and its worker must stop. */
  | { readonly kind: "REFUSED"; readonly error: ReportRefusal | PolicyError<Code> }
  /** Its worker holds the lease, but another report of the run has its `reportId`: nothing of it is applied. */
  | {
      readonly kind: "ID_TAKEN";
      readonly error: InvalidInputError;
      readonly run: WorkflowRun;
      readonly job: ReportedJob;
    }
  /** It was accepted before: it is answered again, and not applied again. */
  | {
      readonly kind: "REPEAT";
      readonly job: ReportedJob;
      readonly run: WorkflowRun;
      readonly earlier: KeptReport;
    }
  | {
      readonly kind: "ADMITTED";
      readonly job: ReportedJob;
      readonly run: WorkflowRun;
      readonly hasOpenNodes: boolean;
    };

/**
 * Decides whether a report is applied, in the order of section 6. Each step stands where it does for a reason:
 *
 * 1. The token comes first, so that whoever cannot prove the lease learns nothing, neither of the job nor of its reports.
 *    An unknown run and a wrong token get the same answer: a token cannot be found by trying.
 * 2. A poisoned job comes before repeats: a worker that sends a report again must hear that what it made is to be discarded.
 * 3. A repeat that violated a policy gets the same error again. It comes before the job's state, because that violation is
 *    what failed the job: the worker would hear ILLEGAL_TRANSITION instead of what it did wrong.
 * 4. A repeat of a report that ends its run comes before the state and the lease, because the first one took both away.
 * 5. The job's state comes before the lease: a job that has ended holds no lease, and "cancelled" or "failed" says more to
 *    its worker than "lease lost".
 * 6. What else the `reportId` says comes last: a worker that must stop hears so, also when its report is a repeat or has
 *    an id that another report has. Only a worker that goes on is answered by the id.
 *
 * @param found the run of the report, under its job's lock; undefined where there is none.
 */
export function admitReport<Code extends PolicyViolationCode>(
  report: Report,
  found: LockedRun | undefined,
  { to, endsRun, violations, path }: ReportRules<Code>,
): Admission<Code> {
  const recognised = recognise(found, report.leaseToken);
  if (recognised instanceof AppError) return { kind: "REFUSED", error: recognised };
  const { job, run, earlier, hasOpenNodes } = recognised;
  const repeated = earlier && isSameReport(report, earlier) ? earlier : undefined;
  const violation = repeated && keptViolation(repeated, violations);
  if (violation) return { kind: "REFUSED", error: policyError(violation, job) };
  if (repeated && endsRun) return { kind: "REPEAT", job, run, earlier: repeated };
  const refusal = checkStateAndLease(recognised, to);
  if (refusal) return { kind: "REFUSED", error: refusal };
  if (repeated) return { kind: "REPEAT", job, run, earlier: repeated };
  if (!earlier) return { kind: "ADMITTED", job, run, hasOpenNodes };
  const message = "Another report of this run has this reportId. Use a new one for what has not been reported.";
  return { kind: "ID_TAKEN", error: new InvalidInputError([...path, "reportId"], message), job, run };
}

/**
 * Steps 1, 2 and 5 alone: whether the holder of this token may change the job now.
 * @param to the state that the report would bring the job to, for the message of a refusal.
 * @returns what was read, or why not.
 */
export function checkLease(found: ReportedRun | undefined, token: string, to: JobState): ReportedRun | ReportRefusal {
  const recognised = recognise(found, token);
  if (recognised instanceof AppError) return recognised;
  return checkStateAndLease(recognised, to) ?? recognised;
}

/** Steps 1 and 2: whether the token is, or was, the run's; and whether the job is poisoned. */
function recognise<Run extends ReportedRun>(
  found: Run | undefined,
  token: string,
): Run | LeaseLostError | JobPoisonedError {
  if (!found || !provesLease(found.run, token)) return new LeaseLostError();
  return found.job.state === "POISONED" ? new JobPoisonedError(found.job) : found;
}

/** Step 5: null where the job has not ended, and the run holds its lease. */
function checkStateAndLease({ job, run, now }: ReportedRun, to: JobState): ReportRefusal | null {
  if (hasEnded(job.state)) return new IllegalTransitionError(job.state, to, directiveOf(job.state));
  const holdsLease = run.state === "RUNNING" && run.leaseExpiresAt !== null && run.leaseExpiresAt > now;
  return holdsLease && job.workflowRunId === run.id ? null : new LeaseLostError();
}

/** What a worker is told whose job is in this state (section 6). */
export function directiveOf(state: JobState): WorkflowDirective {
  switch (state) {
    case "RUNNING":
      return "CONTINUE";
    case "POISONED":
      return "STOP_POISONED";
    case "CANCELLED":
      return "STOP_CANCELLED";
    case "FAILED":
      return "STOP_FAILED";
    case "QUEUED":
    case "STALLED":
    case "AWAITING_VALIDATION":
    case "AWAITING_USER":
    case "COMPLETED":
    case "COMPLETED_WITH_ISSUES":
      return "STOP_LEASE_LOST";
  }
}
