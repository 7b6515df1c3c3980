import { type JsonValue, toDbEnum } from "../db/rows.ts";
import { InvalidInputError } from "../errors.ts";
import type { EntityRef } from "../jobs/access-mode.ts";
import { checkCapability } from "../jobs/capabilities.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { transitionTo } from "../jobs/state.ts";
import { costPayload } from "../jobs/usage/ledger.ts";
import { workerOf } from "../log/event.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import type { ReportRefusal } from "./admission.ts";
import type { RunUnderJobLock } from "./lock.ts";
import { outputsHashOf } from "./outputs-hash.ts";
import { assessReport, type PolicyError, type PolicyViolation } from "./policy.ts";
import { type AcceptedChange, admitRelease, type ReleaseDecision, violationDecision } from "./release.ts";
import type { Report } from "./report.ts";
import { type RetrievedSnippet, sourcesOfSnippets } from "./retrieved-snippets.ts";
import { planSteps, type Step, type StepPlan, stepsPayload } from "./steps.ts";

/** A worker's report that a run's work is done. */
export interface Completion extends Report {
  readonly jobOutputs: JsonValue;
  readonly writtenEntities: readonly EntityRef[];
  readonly issues: readonly string[];
  /** Whether a validator must approve the outputs before they count as applied. Default false. */
  readonly needsValidation?: boolean;
  readonly metrics: MetricsDelta;
  /** The run's last steps, in the order in which they happened; left out, none. */
  readonly steps?: readonly Step[];
  /** What the worker read since its last report; left out, nothing. */
  readonly retrievedSnippets?: readonly RetrievedSnippet[];
}

/** Why a completion that has passed its guards did not complete its job. */
export type CompletionError = ReportRefusal | InvalidInputError | PolicyError;

/** Everything that a completion brings. */
export function sourcesOfCompletion(completion: Completion): readonly GuardedSource[] {
  const { jobOutputs, issues, writtenEntities, steps = [], retrievedSnippets = [] } = completion;
  return [
    { sourceId: null, path: "steps", value: steps },
    ...sourcesOfSnippets(retrievedSnippets),
    { sourceId: null, path: "jobOutputs", value: jobOutputs },
    { sourceId: null, path: "issues", value: issues },
    { sourceId: null, path: "writtenEntities", value: writtenEntities },
  ];
}

/**
 * Decides what to do with a completion (section 6). Reads and writes nothing: the caller writes the decisions of all
 * completions of a call together.
 * @param lockedRun the completion's run, read under its job's lock; undefined when there is no such run.
 * @param path where the completion is in the caller's input; for the path of an error.
 * @param guardsRun how many guards this server ran over the completion.
 */
export function decideCompletion(
  completion: Completion,
  lockedRun: RunUnderJobLock | undefined,
  path: readonly string[],
  guardsRun: number,
): ReleaseDecision<CompletionError> {
  const state = stateAfter(completion);
  const admission = admitRelease(completion, lockedRun, {
    to: state,
    violations: ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED", "CAPABILITY_DENIED"],
    path,
  });
  if (admission.kind !== "ADMITTED") return admission;
  const { job, run, nodes } = admission;
  const { granted, capability } = checkCapability(job.jobKind, job.capabilities);
  const plan = planSteps(run, completion.steps ?? [], nodes, job.now, [...path, "steps"]);
  const completionError = granted ? checkPlan(plan, path) : capabilityDenied(capability);
  const assessment = assessReport(job, completion, path, completionError);
  if (assessment.kind === "REFUSED") return assessment;
  const violating = { job, run, report: completion };
  if (assessment.kind === "VIOLATION") return violationDecision({ ...violating, violation: assessment.violation });
  if (plan instanceof InvalidInputError) throw new Error("Steps that do not fit their run refuse the completion.");
  const { overBudget } = assessment;
  const metrics = { ...assessment.metrics, ...countGuards(assessment.metrics, guardsRun) };
  if (overBudget) return violationDecision({ ...violating, violation: overBudget, metrics, plan });
  const reason = toDbEnum(state);
  const outputsHash = outputsHashOf(completion);
  const change: AcceptedChange = {
    job,
    set: {
      ...metrics,
      ...transitionTo(job, state, reason),
      ...(plan.hasSucceeded ? { releases: 0 } : {}),
      jobOutputs: completion.jobOutputs,
      issues: [...completion.issues],
      errorMessage: null,
    },
    event: {
      type: "STATE_CHANGED",
      by: workerOf(run),
      capabilityId: capability,
      payload: {
        reason,
        issues: completion.issues.length,
        ...stepsPayload(plan),
        ...costPayload(completion.metrics),
        ...(outputsHash === null ? {} : { outputs_hash: outputsHash }),
      },
    },
  };
  // A run that awaits a verdict loses its lease but is not finished (section 6).
  const finishedAt = completion.needsValidation ? null : job.now;
  return {
    kind: "ACCEPTED",
    report: completion,
    change,
    run,
    plan,
    release: {
      id: run.id,
      state,
      errorMessage: null,
      finishedAt,
      endReason: state === "AWAITING_VALIDATION" ? null : toDbEnum(state),
      outputs: completion.jobOutputs,
    },
  };
}

function capabilityDenied(capability: string): PolicyViolation<"CAPABILITY_DENIED"> {
  return { code: "CAPABILITY_DENIED", detail: capability };
}

function checkPlan(plan: StepPlan | InvalidInputError, path: readonly string[]): InvalidInputError | null {
  if (plan instanceof InvalidInputError) return plan;
  if (!plan.hasOpenNodes) return null;
  const message = "A step of this run has not finished. Report its outcome with advanceWorkflow, or in steps.";
  return new InvalidInputError([...path, "workflowRunId"], message);
}

/** The state that a completion moves its job to. */
export function stateAfter({ needsValidation, issues }: Completion) {
  if (needsValidation) return "AWAITING_VALIDATION";
  return issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES";
}
