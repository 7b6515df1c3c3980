import { AccessModeViolationError, BudgetExceededError, CapabilityDeniedError } from "../errors.ts";
import { type EntityRef, refuseWrites } from "../jobs/access-mode.ts";
import { isOverBudget, type MetricsDelta } from "../jobs/metrics.ts";
import { become } from "../jobs/state.ts";
import { type Recorded, record } from "../recorder/commit.ts";
import { denial, ENGINE, type EventDraft } from "../recorder/event.ts";
import type { LockedHead, ReportedJob } from "../recorder/lock.ts";
import type { Transaction } from "../recorder/transaction.ts";
import type { JobHead, JobMetrics } from "../storage/columns.ts";
import type { WorkerReport, WorkflowRun } from "../storage/generated/client/client.ts";
import { keptReports } from "./reports.ts";
import { type Ending, endedRuns } from "./runs.ts";

const BREACHES = ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED", "CAPABILITY_DENIED"] as const;

/** A rule that a report broke: its run and its job fail for it, and no policy tries them again (section 6). */
export interface Breach {
  readonly code: (typeof BREACHES)[number];
  /** What exactly; for a denied capability, which one. */
  readonly detail: string;
}

/** A run that fails for a breach. */
export interface BrokenRun {
  readonly job: ReportedJob;
  readonly run: WorkflowRun;
  readonly breach: Breach;
  /** What is applied of the report all the same: a budget is passed by metrics that are kept. */
  readonly metrics?: JobMetrics;
}

/** Writes that the job's access mode forbids; null where there are none. */
export function breachOfAccess(
  { accessMode, writeScope }: ReportedJob,
  { entitiesWritten }: MetricsDelta,
  named: readonly EntityRef[] = [],
): Breach | null {
  const detail = refuseWrites({ accessMode, entityRefs: writeScope }, named, entitiesWritten);
  return detail === null ? null : { code: "ACCESS_MODE_VIOLATION", detail };
}

/** A token budget that these metrics pass; null where they do not. */
export function breachOfBudget(job: LockedHead, metrics: JobMetrics): Breach | null {
  if (!isOverBudget(job, metrics)) return null;
  const detail = `The job has cost ${metrics.totalTokens} tokens, and its budget is ${job.tokenBudget}.`;
  return { code: "BUDGET_EXCEEDED", detail };
}

/** The breach that a report which was kept before had made; null where it was accepted. */
export function breachOf({ breachCode, breachDetail }: WorkerReport): Breach | null {
  const code = BREACHES.find((known) => known === breachCode);
  return code === undefined || breachDetail === null ? null : { code, detail: breachDetail };
}

export type BreachError = AccessModeViolationError | BudgetExceededError | CapabilityDeniedError;

/** What the worker is answered. */
export function errorOf({ code, detail }: Breach, job: JobHead): BreachError {
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
export function failBroken(
  tx: Transaction,
  broken: readonly BrokenRun[],
  kept: readonly WorkerReport[],
): Promise<readonly Recorded<ReportedJob>[]> {
  const endings = broken.map(({ job, run, breach }): Ending => {
    return { id: run.id, state: "FAILED", errorMessage: errorOf(breach, job).message, finishedAt: job.now };
  });
  return record(
    tx,
    broken.map(({ job, run, breach, metrics }) => ({
      job,
      set: {
        ...metrics,
        ...become(job, "FAILED", reasonOf(breach)),
        // A denial says all there is to say in its reason, wherever it is made.
        errorMessage: breach.code === "CAPABILITY_DENIED" ? null : errorOf(breach, job).message,
      },
      event: eventOf(job, run, breach),
    })),
    [...endedRuns(endings), ...keptReports(kept)],
  );
}

function reasonOf({ code, detail }: Breach): string {
  return code === "CAPABILITY_DENIED" ? `capability_denied: ${detail}` : code.toLowerCase();
}

function eventOf(job: LockedHead, run: WorkflowRun, breach: Breach): EventDraft {
  switch (breach.code) {
    case "CAPABILITY_DENIED":
      return denial(job, breach.detail, "completion");
    case "ACCESS_MODE_VIOLATION":
      return {
        type: "STATE_CHANGED",
        by: { actor: "AGENT", actorId: run.workerId },
        payload: { reason: reasonOf(breach), detail: breach.detail },
      };
    case "BUDGET_EXCEEDED":
      return {
        type: "STATE_CHANGED",
        by: ENGINE,
        payload: { reason: reasonOf(breach), ace_code: "ACE-001", detail: breach.detail },
      };
  }
}
