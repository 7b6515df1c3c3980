import type { JobState } from "../../src/db/generated/client/enums.ts";
import { type Finding, SOME_TEXT, theJob } from "./payload.ts";
import { takeProgress } from "./progress.ts";
import { countGuards, deny, illegal, isOverBudget, type Refusal } from "./rules.ts";
import {
  type Actor,
  agent,
  type Changes,
  change,
  endRun,
  isActive,
  type Job,
  latestRun,
  type Metrics,
  type Run,
  SYSTEM_ACTOR,
  type World,
} from "./world.ts";

/** How runs and jobs end (sections 5 and 6). */

/** Queued again after a backoff while charged attempts are left, otherwise failed. A revision is not charged. */
export function afterFailure({ attempt, unchargedAttempts, submit }: Job, retryable: boolean, reason: string): Changes {
  const charged = Math.max(attempt - unchargedAttempts, 1);
  if (!retryable || charged >= submit.maxAttempts) return { state: "FAILED", reason };
  return { state: "QUEUED", reason: "retry_scheduled", runAfter: "ahead" };
}

/** Section 5: the job and all its descendants that have not completed or been cancelled, each in one version. */
export function poison(world: World, job: Job, finding: Finding, guardsRun: number): void {
  poisonJob(job, finding, guardsRun);
  for (const other of descendantsOf(world, job)) {
    if (!RECORDED_ONLY.includes(other.state) && other.state !== "POISONED")
      poisonJob(other, { ...finding, source_job_id: theJob(job) }, 0);
  }
}

/** The states in which a violation is only recorded. */
export const RECORDED_ONLY: readonly JobState[] = ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED"];

/** Poisons a job with its active and stalled runs and its open nodes. */
function poisonJob(job: Job, finding: Finding & { readonly source_job_id?: string }, guardsRun: number): void {
  for (const run of job.runs) {
    if (isActive(run) || run.state === "STALLED") endRun(run, "POISONED", true);
    run.outputs = null;
  }
  const metrics = countGuards(job.metrics, guardsRun);
  const reason = `poisoned: ${finding.violation_type}`;
  const payload = { ...finding, action_taken: "poisoned", job_state_transition: transition(job.state, "POISONED") };
  change(
    job,
    "SECURITY_VIOLATION",
    SYSTEM_ACTOR,
    { state: "POISONED", reason, hasError: true, outputs: null, metrics, progress: null },
    payload,
  );
}

/** The text for a state change in the payload of a security event. */
export const transition = (from: JobState, to: JobState): string => `${from} -> ${to}`.toLowerCase();

/** All descendants of a job, also those below a job that has ended. */
export function descendantsOf(world: World, job: Job): readonly Job[] {
  return world.jobs.filter((other) => descendsFrom(other, job));
}

function descendsFrom({ parent }: Job, job: Job): boolean {
  return parent !== null && (parent === job || descendsFrom(parent, job));
}

export const CANCELLABLE: readonly JobState[] = [
  "QUEUED",
  "RUNNING",
  "STALLED",
  "AWAITING_VALIDATION",
  "AWAITING_USER",
];

export function cancelJob(
  job: Job,
  by: Actor,
  why: { readonly detail: string; readonly cancelled_with?: string },
): void {
  endActive(job, "CANCELLED", true);
  change(job, "STATE_CHANGED", by, { state: "CANCELLED", reason: "cancelled", runAfter: "none", outputs: null }, why);
}

/** Why a person cannot retry a job; null if they can. A job over its budget would fail at its first report. */
export function checkRetryable(job: Job): Refusal | null {
  if (job.state !== "FAILED" && job.state !== "STALLED") return illegal(job, "QUEUED");
  return isOverBudget(job, job.metrics) ? { code: "BUDGET_EXCEEDED" } : null;
}

/** A person retries a job; it is due at once. */
export function retryJob(job: Job, by: Actor): void {
  const set = {
    state: "QUEUED",
    reason: "retried",
    runAfter: "none",
    hasError: false,
    issues: [],
    releases: 0,
  } as const;
  change(job, "STATE_CHANGED", by, set);
}

/** Ends the job's active run, if it has one. */
export function endActive(job: Job, state: JobState, hasError: boolean, why?: string): void {
  const run = latestRun(job);
  if (run && isActive(run)) endRun(run, state, hasError, why);
}

/** Policy violations: run and job fail and are not retried. Each returns the worker's answer. */
export const failByPolicy = {
  accessMode(run: Run): Refusal {
    const taken = takeProgress(run);
    endRun(run, "FAILED", true, "access_mode_violation");
    const set = { ...taken, state: "FAILED", reason: "access_mode_violation", hasError: true } as const;
    change(run.job, "STATE_CHANGED", agent(run), set, { detail: SOME_TEXT });
    return { code: "ACCESS_MODE_VIOLATION", directive: "STOP_FAILED" };
  },
  /**
   * @param metrics the metrics over the budget, which are stored.
   * @param cost what the event says of the cost, where the same version adds it.
   */
  budget(run: Run, metrics: Metrics, cost: object = {}): Refusal {
    const taken = takeProgress(run);
    endRun(run, "FAILED", true, "budget_exceeded");
    const set = { ...taken, state: "FAILED", reason: "budget_exceeded", hasError: true, metrics } as const;
    change(run.job, "STATE_CHANGED", SYSTEM_ACTOR, set, { ace_code: "ACE-001", detail: SOME_TEXT, ...cost });
    return { code: "BUDGET_EXCEEDED", directive: "STOP_FAILED" };
  },
  capability(run: Run, capability: string): Refusal {
    const taken = takeProgress(run);
    endRun(run, "FAILED", true, "capability_denied");
    return { ...deny(run.job, capability, "completion", taken), directive: "STOP_FAILED" };
  },
};

/** Section 6, "Access mode": whether a report may name these documents, or this number of entities, as written. */
export function mayWrite({ submit: { accessMode, scope } }: Job, count: number, documents: readonly string[] = []) {
  if (accessMode === "APPLY_SCOPED" && scope.length > 0) return documents.every((id) => scope.includes(id));
  return count === 0 && documents.length === 0;
}

/** Whether a run has a node that has not finished. */
