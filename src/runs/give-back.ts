import type { EngineContext } from "../engine.ts";
import { type AccessModeViolationError, type BudgetExceededError, InvalidInputError } from "../errors.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { transitionTo } from "../jobs/state.ts";
import { costPayload } from "../jobs/usage/ledger.ts";
import { workerOf } from "../log/event.ts";
import { redactText } from "../log/redact.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import type { ReportRefusal } from "./admission.ts";
import type { RunUnderJobLock } from "./lock.ts";
import { assessReport } from "./policy.ts";
import { admitRelease, type ReleaseDecision, violationDecision } from "./release.ts";
import { type ReleaseAnswer, type ReleaseKind, releaseCall } from "./release-calls.ts";
import type { Report } from "./report.ts";

/**
 * A worker's report that it gives its job back unfinished (releaseWorkflows, section 13): because it stops, or because the job must wait
 * for a time or for its children.
 */
export interface GiveBack extends Report {
  readonly reason: string;
  /** When the job is due again; null, as left out: at once. */
  readonly runAfter?: Date | null | undefined;
  /** Whether the job is due once all its children have ended. Default false. */
  readonly untilChildrenEnd?: boolean;
  readonly metrics: MetricsDelta;
}

/** So many times a job may be given back without a step that succeeded in between; the last of them fails it. */
export const MAX_RELEASES = 100;

/** Why a job that has passed its guards was not given back. */
export type GiveBackError = ReportRefusal | InvalidInputError | AccessModeViolationError | BudgetExceededError;

/** Returned jobs, as a kind of report that releases its run's lease. */
export const GIVE_BACKS: ReleaseKind<GiveBack, GiveBackError> = {
  field: "releases",
  sourcesOf: ({ reason }: GiveBack): readonly GuardedSource[] => [{ sourceId: null, path: "reason", value: reason }],
  stateAfter: () => "QUEUED",
  decide: () => decideGiveBack,
};

/**
 * Decides what to do with a job that is given back. Reads and writes nothing: the caller writes the decisions of all of a call
 * together. The attempt is not charged, and the job keeps its place among those that wait, which is that of its age.
 * @param lockedRun the run, read under its job's lock; undefined when there is no such run.
 * @param path where the report is in the caller's input; for the path of an error.
 * @param guardsRun how many guards this server ran over the report.
 */
function decideGiveBack(
  giveBack: GiveBack,
  lockedRun: RunUnderJobLock | undefined,
  path: readonly string[],
  guardsRun: number,
): ReleaseDecision<GiveBackError> {
  const admission = admitRelease(giveBack, lockedRun, {
    to: "QUEUED",
    violations: ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"],
    path,
  });
  if (admission.kind !== "ADMITTED") return admission;
  const { job, run } = admission;
  const { runAfter = null, untilChildrenEnd = false } = giveBack;
  const contradiction =
    runAfter !== null && untilChildrenEnd
      ? new InvalidInputError([...path, "runAfter"], "Give a time or untilChildrenEnd, not both.")
      : null;
  const assessment = assessReport(job, giveBack, path, contradiction);
  if (assessment.kind === "REFUSED") return assessment;
  const violating = { job, run, report: giveBack };
  if (assessment.kind === "VIOLATION") return violationDecision({ ...violating, violation: assessment.violation });
  const { overBudget } = assessment;
  const metrics = { ...assessment.metrics, ...countGuards(assessment.metrics, guardsRun) };
  if (overBudget) return violationDecision({ ...violating, violation: overBudget, metrics });
  const releases = job.releases + 1;
  const isTooOften = releases >= MAX_RELEASES;
  const detail = redactText(giveBack.reason);
  const dueAt = runAfter !== null && runAfter > job.now ? runAfter : null;
  const transition = isTooOften
    ? transitionTo(job, "FAILED", "released_too_often")
    : transitionTo(job, "QUEUED", "released", { waitsFor: untilChildrenEnd ? "CHILDREN" : null });
  const failure = `The job was given back ${MAX_RELEASES} times without a step that succeeded in between.`;
  return {
    kind: "ACCEPTED",
    report: giveBack,
    run,
    release: {
      id: run.id,
      state: isTooOften ? "FAILED" : "CANCELLED",
      errorMessage: detail,
      finishedAt: job.now,
      endReason: isTooOften ? "released_too_often" : "released",
    },
    change: {
      job,
      set: {
        ...metrics,
        ...transition,
        runAfter: isTooOften ? null : dueAt,
        releases,
        unchargedAttempts: job.unchargedAttempts + 1,
        errorMessage: isTooOften ? failure : null,
      },
      event: {
        type: "STATE_CHANGED",
        by: workerOf(run),
        payload: {
          reason: transition.statusReason,
          detail,
          ...costPayload(giveBack.metrics),
          ...(dueAt === null ? {} : { run_after: dueAt.toISOString() }),
          ...(untilChildrenEnd ? { waits_for: "children" } : {}),
        },
      },
    },
  };
}

/** Gives jobs back (section 13). See `releaseCall`. */
export function releaseWorkflows(
  engine: EngineContext,
  giveBacks: readonly GiveBack[],
): Promise<ReleaseAnswer<GiveBackError>[]> {
  return releaseCall(engine, GIVE_BACKS, giveBacks);
}
