import { checkCapability } from "../capabilities/registry.ts";
import { AccessModeViolationError, AppError, CapabilityDeniedError, InvalidInputError } from "../errors.ts";
import { type EntityRef, refuseWrites } from "../jobs/access-mode.ts";
import { addMetrics, type MetricsDelta } from "../jobs/metrics.ts";
import { become } from "../jobs/state.ts";
import { type JobChange, type LockedJob, record } from "../recorder/commit.ts";
import { denial } from "../recorder/event.ts";
import { inTransaction } from "../recorder/transaction.ts";
import type { JsonValue } from "../storage/columns.ts";
import type { AiJob, WorkflowRun } from "../storage/generated/client/client.ts";
import type { Engine } from "./engine.ts";
import { admitReport, type ReportRefusal } from "./lease.ts";
import { type Ending, endRuns, lockReported, runsWithOpenNodes } from "./runs.ts";

export interface Completion {
  readonly workflowRunId: string;
  readonly leaseToken: string;
  readonly jobOutputs: JsonValue;
  readonly writtenEntities: readonly EntityRef[];
  readonly issues: readonly string[];
  readonly metrics: MetricsDelta;
}

export interface Completed {
  readonly job: AiJob;
  readonly run: WorkflowRun;
}

/** Why one completion did not complete its job. */
export type CompletionRefusal = ReportRefusal | InvalidInputError | AccessModeViolationError | CapabilityDeniedError;

/** What one completion decides: a refusal that changes nothing, or a change that ends the run, for good or ill. */
type Decision =
  | { readonly kind: "REFUSED"; readonly error: CompletionRefusal }
  | {
      readonly kind: "ENDED";
      readonly change: JobChange;
      readonly ending: Ending;
      readonly run: WorkflowRun;
      /** What the caller gets where the run ended otherwise than it asked for. */
      readonly toError: ((job: AiJob) => CompletionRefusal) | null;
    };

/** Completes runs, each judged by itself, in one transaction and a fixed number of statements. */
export function completeWorkflows(
  engine: Engine,
  completions: readonly Completion[],
): Promise<(Completed | CompletionRefusal)[]> {
  return inTransaction(engine, async (tx) => {
    const runIds = completions.map(({ workflowRunId }) => workflowRunId);
    const reported = await lockReported(tx, runIds);
    const open = await runsWithOpenNodes(tx, runIds);
    const decisions = completions.map((completion, index): Decision => {
      const to = stateAfter(completion);
      const admitted = admitReport(reported.get(completion.workflowRunId), completion.leaseToken, to);
      if (admitted instanceof AppError) return { kind: "REFUSED", error: admitted };
      return decide(completion, admitted.job, admitted.run, open.has(admitted.run.id), index);
    });
    const ended = decisions.filter((decision) => decision.kind === "ENDED");
    await endRuns(
      tx,
      ended.map(({ ending }) => ending),
    );
    const recorded = await record(
      tx,
      ended.map(({ change }) => change),
    );
    const jobs = new Map(recorded.map(({ job }) => [job.workflowRunId, job]));
    return decisions.map((decision) => {
      if (decision.kind === "REFUSED") return decision.error;
      const { run, ending, change, toError } = decision;
      const job = jobs.get(run.id) ?? change.job;
      return toError ? toError(job) : { job, run: { ...run, ...ending, leaseExpiresAt: null } };
    });
  });
}

function stateAfter({ issues }: Completion): "COMPLETED" | "COMPLETED_WITH_ISSUES" {
  return issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES";
}

function decide(
  completion: Completion,
  job: LockedJob,
  run: WorkflowRun,
  hasOpenNodes: boolean,
  index: number,
): Decision {
  const path = ["input", "completions", String(index)];
  const forbidden = refuseWrites(job, completion.writtenEntities);
  if (forbidden) {
    const error = new AccessModeViolationError(forbidden);
    const reason = "access_mode_violation";
    const set = { ...become(job, "FAILED", reason), errorMessage: error.message };
    const event = { type: "STATE_CHANGED" as const, by: agent(run), payload: { reason, detail: forbidden } };
    return fails(job, run, { job, set, event }, () => error);
  }
  const check = checkCapability(job.jobKind, job.capabilities);
  if (!check.granted) {
    const { capability } = check;
    const set = become(job, "FAILED", `capability_denied: ${capability}`);
    const change = { job, set, event: denial(job, capability, "completion") };
    return fails(job, run, change, (failed) => new CapabilityDeniedError(capability, failed));
  }
  if (hasOpenNodes) {
    const message = "A node of this run has not finished: report how it ended, then complete.";
    return { kind: "REFUSED", error: new InvalidInputError([...path, "workflowRunId"], message) };
  }
  const metrics = addMetrics(job, completion.metrics, [...path, "metrics"]);
  if (metrics instanceof InvalidInputError) return { kind: "REFUSED", error: metrics };
  const state = stateAfter(completion);
  const reason = state === "COMPLETED" ? "completed" : "completed_with_issues";
  const change: JobChange = {
    job,
    set: {
      ...metrics,
      ...become(job, state, reason),
      jobOutputs: completion.jobOutputs,
      issues: [...completion.issues],
      errorMessage: null,
    },
    event: {
      type: "STATE_CHANGED",
      by: agent(run),
      capabilityId: check.capability,
      payload: { reason, issues: completion.issues.length },
    },
  };
  const ending: Ending = { id: run.id, state, errorMessage: null, finishedAt: job.now };
  return { kind: "ENDED", change, ending, run, toError: null };
}

function fails(
  job: LockedJob,
  run: WorkflowRun,
  change: JobChange,
  toError: (job: AiJob) => CompletionRefusal,
): Decision {
  const errorMessage = change.set.errorMessage ?? change.set.statusReason ?? null;
  const ending: Ending = { id: run.id, state: "FAILED", errorMessage, finishedAt: job.now };
  return { kind: "ENDED", change, ending, run, toError };
}

function agent({ workerId }: WorkflowRun) {
  return { actor: "AGENT" as const, actorId: workerId };
}
