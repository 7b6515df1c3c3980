import type { WorkerReport, WorkflowRun } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import type { JsonValue } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError, InvalidInputError } from "../errors.ts";
import type { EntityRef } from "../jobs/access-mode.ts";
import { checkCapability } from "../jobs/capabilities.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { addMetrics, type MetricsDelta } from "../jobs/metrics.ts";
import { transitionTo } from "../jobs/state.ts";
import { writeVersions } from "../jobs/store.ts";
import type { JobChange } from "../jobs/version.ts";
import {
  admitReport,
  type LockedReport,
  lockReportedRuns,
  type ReportRefusal,
  recogniseReport,
  SequentialReports,
} from "./admission.ts";
import {
  checkAccessMode,
  checkTokenBudget,
  failViolatingRuns,
  type PolicyError,
  policyError,
  type ViolatingRun,
  violationKeptIn,
} from "./policy.ts";
import { insertReportsCte, isRepeat, type Report, toReportRows } from "./report.ts";
import { endRunsCte, type RunEnd } from "./store.ts";

export interface Completion extends Report {
  readonly jobOutputs: JsonValue;
  readonly writtenEntities: readonly EntityRef[];
  readonly issues: readonly string[];
  /** Somebody else decides whether the outputs are good before they count as applied. */
  readonly needsValidation?: boolean;
  readonly metrics: MetricsDelta;
}

export interface Completed {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
}

/** Why one completion did not complete its job. */
export type CompletionRefusal = ReportRefusal | InvalidInputError | PolicyError;

/** What one completion decides: a refusal that changes nothing, a repeated report, or an end of the run. */
type Decision =
  | { readonly kind: "REFUSED"; readonly error: CompletionRefusal }
  | { readonly kind: "REPEATED"; readonly completed: Completed }
  | { readonly kind: "BROKEN"; readonly broken: ViolatingRun; readonly kept: readonly WorkerReport[] }
  | {
      readonly kind: "ENDED";
      readonly change: JobChange<ReportedJob>;
      readonly ending: RunEnd;
      readonly run: WorkflowRun;
      readonly kept: readonly WorkerReport[];
    };

/** One completion of a call, and where it stands in the caller's input. */
interface Item {
  readonly completion: Completion;
  readonly path: readonly string[];
}

type Answer = Completed | CompletionRefusal;

/** Completes runs, each judged after those before it, in one transaction and a fixed number of statements. */
export async function completeWorkflows(engine: Engine, completions: readonly Completion[]): Promise<Answer[]> {
  const items = itemsOf(completions);
  return answersTo(items, await complete(engine, items));
}

/**
 * The same for several calls at once, in one transaction. It waits for no row: who reports on a job that somebody else
 * holds waits by itself, and so does whoever reports on a run that another one of these calls is about.
 */
export async function completeSharedBatch(
  engine: Engine,
  calls: readonly (readonly Completion[])[],
): Promise<readonly Promise<Answer[]>[]> {
  const itemsOfCalls = calls.map(itemsOf);
  const firstOfRun = new Map<string, Item>();
  for (const item of itemsOfCalls.flat()) {
    const { workflowRunId } = item.completion;
    if (!firstOfRun.has(workflowRunId)) firstOfRun.set(workflowRunId, item);
  }
  const firsts = [...firstOfRun.values()];
  const answers = await inTransaction(engine, async (tx) => {
    const reported = await lockReportedRuns(tx, completionsOf(firsts), "SKIP");
    const free = firsts.filter(({ completion }) => reported.has(completion.workflowRunId));
    return decideAll(tx, free, reported);
  });
  return itemsOfCalls.map(async (items) => {
    const left = items.filter((item) => !answers.has(item));
    const later = left.length === 0 ? [] : await complete(engine, left);
    return answersTo(items, new Map([...answers, ...later]));
  });
}

function itemsOf(completions: readonly Completion[]): readonly Item[] {
  return completions.map((completion, index) => ({ completion, path: ["input", "completions", String(index)] }));
}

function completionsOf(items: readonly Item[]): readonly Completion[] {
  return items.map(({ completion }) => completion);
}

/** In the order of the call. */
function answersTo(items: readonly Item[], answers: ReadonlyMap<Item, Answer>): Answer[] {
  return items.map((item) => {
    const answer = answers.get(item);
    if (!answer) throw new Error("A completion has an answer.");
    return answer;
  });
}

function complete(engine: Engine, items: readonly Item[]): Promise<ReadonlyMap<Item, Answer>> {
  return inTransaction(engine, async (tx) => decideAll(tx, items, await lockReportedRuns(tx, completionsOf(items))));
}

/** @param reported of which run each is, whose jobs `tx` holds. */
async function decideAll(
  tx: Transaction,
  items: readonly Item[],
  reported: ReadonlyMap<string, LockedReport>,
): Promise<ReadonlyMap<Item, Answer>> {
  const inOrder = new SequentialReports(reported);
  const judged = items.map((item) => {
    const decision = judge(item.completion, inOrder.find(item.completion.workflowRunId), item.path);
    if (decision.kind === "ENDED") inOrder.noteState(decision.run.jobId, decision.ending.state);
    if (decision.kind === "BROKEN") inOrder.noteState(decision.broken.job.jobId, "FAILED");
    return { item, decision };
  });
  const decisions = judged.map(({ decision }) => decision);
  const ended = decisions.filter((decision) => decision.kind === "ENDED");
  const broken = decisions.filter((decision) => decision.kind === "BROKEN");
  const recorded = await writeVersions(
    tx,
    ended.map(({ change }) => change),
    [...endRunsCte(ended.map(({ ending }) => ending)), ...insertReportsCte(ended.flatMap(({ kept }) => kept))],
  );
  const failed = await failViolatingRuns(
    tx,
    broken.map((decision) => decision.broken),
    broken.flatMap(({ kept }) => kept),
  );
  const jobs = new Map([...recorded, ...failed].map(({ job }) => [job.jobId, job]));
  return new Map(judged.map(({ item, decision }) => [item, answerOf(decision, jobs)]));
}

function answerOf(decision: Decision, jobs: ReadonlyMap<string, JobSummary>): Answer {
  switch (decision.kind) {
    case "REFUSED":
      return decision.error;
    case "REPEATED": {
      const { job, run } = decision.completed;
      const now = jobs.get(job.jobId);
      // Where its state is that of the job as it is left, another report of this call, before this one, brought it there.
      return { job: now?.state === job.state ? now : job, run };
    }
    case "BROKEN": {
      const { violation, job } = decision.broken;
      return policyError(violation, jobs.get(job.jobId) ?? job);
    }
    case "ENDED": {
      const { run, ending, change } = decision;
      return { job: jobs.get(run.jobId) ?? change.job, run: { ...run, ...ending, leaseExpiresAt: null } };
    }
  }
}

function judge(completion: Completion, found: LockedReport | undefined, path: readonly string[]): Decision {
  const recognised = recogniseReport(found, completion.leaseToken);
  if (recognised instanceof AppError) return { kind: "REFUSED", error: recognised };
  const { earlier } = recognised;
  const repeated = isRepeat(completion, earlier, path);
  if (repeated === true && earlier) {
    const { job, run } = recognised;
    const violation = violationKeptIn(earlier);
    return violation
      ? { kind: "REFUSED", error: policyError(violation, job) }
      : { kind: "REPEATED", completed: { job, run } };
  }
  const admitted = admitReport(recognised, completion.leaseToken, stateAfter(completion));
  if (admitted instanceof AppError) return { kind: "REFUSED", error: admitted };
  // Not before: a worker that must stop hears so whatever its report is.
  if (repeated instanceof AppError) return { kind: "REFUSED", error: repeated };
  return decide(completion, admitted, path);
}

function decide(completion: Completion, { job, run, hasOpenNodes }: LockedReport, path: readonly string[]): Decision {
  const breaks = (broken: Omit<ViolatingRun, "job" | "run">): Decision => {
    const kept = toReportRows(completion, job, { violation: broken.violation });
    return { kind: "BROKEN", broken: { job, run, ...broken }, kept };
  };
  const forbidden = checkAccessMode(job, completion.metrics, completion.writtenEntities);
  if (forbidden) return breaks({ violation: forbidden });
  const check = checkCapability(job.jobKind, job.capabilities);
  if (!check.granted) return breaks({ violation: { code: "CAPABILITY_DENIED", detail: check.capability } });
  if (hasOpenNodes) {
    const message = "A node of this run has not finished: report how it ended, then complete.";
    return { kind: "REFUSED", error: new InvalidInputError([...path, "workflowRunId"], message) };
  }
  const metrics = addMetrics(job, completion.metrics, [...path, "metrics"]);
  if (metrics instanceof InvalidInputError) return { kind: "REFUSED", error: metrics };
  const passed = checkTokenBudget(job, metrics);
  if (passed) return breaks({ violation: passed, metrics });
  const state = stateAfter(completion);
  const reason = state.toLowerCase();
  const change: JobChange<ReportedJob> = {
    job,
    set: {
      ...metrics,
      ...transitionTo(job, state, reason),
      jobOutputs: completion.jobOutputs,
      issues: [...completion.issues],
      errorMessage: null,
    },
    event: {
      type: "STATE_CHANGED",
      by: { actor: "AGENT", actorId: run.workerId },
      capabilityId: check.capability,
      payload: { reason, issues: completion.issues.length },
    },
  };
  // A run that awaits a verdict has no lease any more, and has not finished (section 6).
  const finishedAt = completion.needsValidation ? null : job.now;
  const ending: RunEnd = { id: run.id, state, errorMessage: null, finishedAt };
  return { kind: "ENDED", change, ending, run, kept: toReportRows(completion, job) };
}

function stateAfter({ needsValidation, issues }: Completion) {
  if (needsValidation) return "AWAITING_VALIDATION";
  return issues.length === 0 ? "COMPLETED" : "COMPLETED_WITH_ISSUES";
}
