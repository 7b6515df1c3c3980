import type { JobState } from "../../src/db/generated/client/enums.ts";
import { type Finding, SOME_TEXT, theJob } from "./payload.ts";
import { countGuards, deny, illegal, isOverBudget, type Refusal } from "./rules.ts";
import {
  type Actor,
  agent,
  type Changes,
  change,
  ENGINE,
  endRun,
  isActive,
  isOpen,
  type Job,
  latestRun,
  type Metrics,
  type Run,
  type World,
} from "./world.ts";

/** How runs and jobs end: sections 5 and 6. */

/** Queued again, later, while attempts are left; else failed. What a person sent back is not charged. */
export function afterFailure({ attempt, revisions, submit }: Job, retryable: boolean, reason: string): Changes {
  const charged = Math.max(attempt - revisions, 1);
  if (!retryable || charged >= submit.maxAttempts) return { state: "FAILED", reason };
  return { state: "QUEUED", reason: "retry_scheduled", runAfter: "ahead" };
}

/** Section 5: the job and all its descendants that have not completed or been cancelled, each in one version. */
export function poison(world: World, job: Job, found: Finding, guardsRun: number): void {
  poisonOne(job, found, guardsRun);
  for (const other of below(world, job)) {
    if (!STANDS.includes(other.state) && other.state !== "POISONED")
      poisonOne(other, { ...found, source_job_id: theJob(job) }, 0);
  }
}

/** What a violation is only recorded on. */
export const STANDS: readonly JobState[] = ["COMPLETED", "COMPLETED_WITH_ISSUES", "CANCELLED"];

/** Its active or stalled runs and its open nodes go with it. */
function poisonOne(job: Job, found: Finding & { readonly source_job_id?: string }, guardsRun: number): void {
  for (const run of job.runs) {
    if (isActive(run) || run.state === "STALLED") endRun(run, "POISONED", true);
  }
  const metrics = countGuards(job.metrics, guardsRun);
  const reason = `poisoned: ${found.violation_type}`;
  const payload = { ...found, action_taken: "poisoned", job_state_transition: transition(job.state, "POISONED") };
  change(
    job,
    "SECURITY_VIOLATION",
    ENGINE,
    { state: "POISONED", reason, hasError: true, outputs: null, metrics },
    payload,
  );
}

/** How a security event tells of what became of the state. */
export const transition = (from: JobState, to: JobState): string => `${from} -> ${to}`.toLowerCase();

/** Children, and theirs, whatever became of those in between. */
export function below(world: World, job: Job): readonly Job[] {
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

export function cancelOne(
  job: Job,
  by: Actor,
  why: { readonly detail: string; readonly cancelled_with?: string },
): void {
  endActive(job, "CANCELLED", true);
  change(job, "STATE_CHANGED", by, { state: "CANCELLED", reason: "cancelled", runAfter: "none", outputs: null }, why);
}

/** Why a person cannot have it tried again: it has not failed or stalled, or its first report could only fail it. */
export function refuseRetry(job: Job): Refusal | null {
  if (job.state !== "FAILED" && job.state !== "STALLED") return illegal(job, "QUEUED");
  return isOverBudget(job, job.metrics) ? { code: "BUDGET_EXCEEDED" } : null;
}

/** A person has it tried again, at once. */
export function retryOne(job: Job, by: Actor): void {
  const set = { state: "QUEUED", reason: "retried", runAfter: "none", hasError: false, issues: [] } as const;
  change(job, "STATE_CHANGED", by, set);
}

/** Ends the run that a job is in, if it is in one. */
export function endActive(job: Job, state: JobState, hasError: boolean): void {
  const run = latestRun(job);
  if (run && isActive(run)) endRun(run, state, hasError);
}

/** A report breaks a rule: its run fails with its job, and no policy tries them again. What the worker is answered. */
export const broken = {
  accessMode(run: Run): Refusal {
    endRun(run, "FAILED", true);
    const set = { state: "FAILED", reason: "access_mode_violation", hasError: true } as const;
    change(run.job, "STATE_CHANGED", agent(run), set, { detail: SOME_TEXT });
    return { code: "ACCESS_MODE_VIOLATION", directive: "STOP_FAILED" };
  },
  /** @param metrics which passed the budget: they are kept. */
  budget(run: Run, metrics: Metrics): Refusal {
    endRun(run, "FAILED", true);
    const set = { state: "FAILED", reason: "budget_exceeded", hasError: true, metrics } as const;
    change(run.job, "STATE_CHANGED", ENGINE, set, { ace_code: "ACE-001", detail: SOME_TEXT });
    return { code: "BUDGET_EXCEEDED", directive: "STOP_FAILED" };
  },
  capability(run: Run, capability: string): Refusal {
    endRun(run, "FAILED", true);
    return deny(run.job, capability, "completion");
  },
};

/** Section 6, "Access mode": whether a report may say that these documents, or so many entities, were written. */
export function mayWrite({ submit: { accessMode, scope } }: Job, count: number, documents: readonly string[] = []) {
  if (accessMode === "APPLY_SCOPED" && scope.length > 0) return documents.every((id) => scope.includes(id));
  return count === 0 && documents.length === 0;
}

/** A run's nodes that have not finished. */
export const hasOpenNode = ({ nodes }: Run): boolean => nodes.some(isOpen);
