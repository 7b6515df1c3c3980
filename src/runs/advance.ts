import type { PoisonedJob } from "../claims/guard-and-deliver.ts";
import type { NodeExecution, WorkflowRun } from "../db/generated/client/client.ts";
import { type JobSummary } from "../db/job-columns.ts";
import { type KeptReport, toDbEnum } from "../db/rows.ts";
import { inTransaction, readWithRetry, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import {
  type AccessModeViolationError,
  AppError,
  type BudgetExceededError,
  type GuardFailedError,
  IllegalTransitionError,
  InvalidInputError,
  JobPoisonedError,
} from "../errors.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import type { EventDraft } from "../log/event.ts";
import { guardContent, injectionPatterns } from "../security/guard-content.ts";
import type { GuardedText } from "../security/guards/guard.ts";
import type { Precondition } from "../security/poison.ts";
import { admitReport, checkLease, directiveOf, type ReportRefusal } from "./admission.ts";
import { lockReportedRuns, readReportedRun } from "./lock.ts";
import { readNode, type Step, writeStep } from "./nodes.ts";
import { assessReport } from "./policy.ts";
import { findReport, insertReportsCte, type Report, toReportRows } from "./report.ts";
import { readRun } from "./store.ts";
import { failViolatingRun } from "./violating-runs.ts";

/** What a worker read for its step, as raw UTF-8 content [HSK-ACE-VAL-100]. */
export interface RetrievedSnippet {
  readonly sourceId: string;
  readonly content: string;
}

export interface AdvanceWorkflow extends Report {
  readonly step: Step;
  readonly retrievedSnippets: readonly RetrievedSnippet[];
  readonly metrics: MetricsDelta;
}

export interface Advanced {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
  readonly node: NodeExecution;
}

/** What a step can answer that is kept without guards, because it brings nothing to guard or was guarded before. */
type StepError = ReportRefusal | InvalidInputError | AccessModeViolationError | BudgetExceededError;

/** Why a step was not kept, or its job failed with it. */
export type AdvanceWorkflowError = StepError | GuardFailedError;

/**
 * Reports a step (section 6). The lease is checked, then the guards run over what the step brings, and only then is any of
 * it kept: guards never run in a transaction, so the lease is checked once more under the job's lock.
 * @returns the step as it is kept; the job where a guard poisoned it, which is committed; or why the step was not kept.
 * @throws TryAgainError where the database gave way too often; nothing was kept.
 */
export async function advanceWorkflow(
  engine: Engine,
  input: AdvanceWorkflow,
): Promise<Advanced | PoisonedJob | AdvanceWorkflowError> {
  if (input.retrievedSnippets.length === 0) return keepStep(engine, input, 0);
  const [found, earlier] = await readWithRetry(() =>
    Promise.all([readReportedRun(engine.prisma, input.workflowRunId), findReport(engine.prisma, input)]),
  );
  // What was kept under this id has been guarded before; and what has another content is not kept.
  if (earlier) return keepStep(engine, input, 0);
  const held = checkLease(found, input.leaseToken, "RUNNING");
  if (held instanceof AppError) return held;
  // A report whose lease was lost while the guards ran neither changes nor poisons anything (section 6).
  const precondition: Precondition<ReportRefusal> = async (tx, job) => {
    const run = await readRun(tx, input.workflowRunId);
    const stillHeld = checkLease(run && { run, job, now: job.now }, input.leaseToken, "RUNNING");
    return stillHeld instanceof AppError ? stillHeld : null;
  };
  const { job } = held;
  const patterns = await injectionPatterns(engine, job.capabilityProfileId);
  const guarded = await guardContent(engine, job, { texts: texts(input.retrievedSnippets), patterns }, precondition);
  switch (guarded.verdict) {
    case "PASSED":
      return keepStep(engine, input, guarded.guardsRun);
    case "REFUSED":
      return guarded.refusal;
    case "TRAPPED": {
      const { violation, outcome } = guarded;
      if (outcome.action === "REFUSED") return outcome.refusal;
      if (outcome.action === "POISONED") return { job: outcome.job, violation, event: outcome.event };
      // Unreachable while the precondition refuses every job that has ended; the union is answered all the same.
      if (outcome.action === "ALREADY_POISONED") return new JobPoisonedError(outcome.job);
      return new IllegalTransitionError(outcome.job.state, "RUNNING", directiveOf(outcome.job.state));
    }
  }
}

/** @param guardsRun how many guards the server ran over what the step brings; counted in the job's metrics. */
async function keepStep(engine: Engine, input: AdvanceWorkflow, guardsRun: number): Promise<Advanced | StepError> {
  try {
    return await inTransaction(engine, (tx) => keepStepLocked(tx, input, guardsRun));
  } catch (error) {
    // Thrown, not returned, where the step does not fit its run: the transaction has written by then.
    if (error instanceof InvalidInputError) return error;
    throw error;
  }
}

async function keepStepLocked(
  tx: Transaction,
  input: AdvanceWorkflow,
  guardsRun: number,
): Promise<Advanced | StepError> {
  const found = (await lockReportedRuns(tx, [input])).get(input.workflowRunId);
  const path = ["input"];
  const admission = admitReport(input, found, {
    to: "RUNNING",
    endsRun: false,
    violations: ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"],
    path,
  });
  if (admission.kind === "REFUSED" || admission.kind === "ID_TAKEN") return admission.error;
  const { job, run } = admission;
  if (admission.kind === "REPEAT") return { job, run, node: await readKeptNode(tx, admission.earlier) };
  const assessment = assessReport(job, input, path);
  if (assessment.kind === "REFUSED") return assessment.error;
  const violating = { run, report: input };
  if (assessment.kind === "VIOLATION") {
    return failViolatingRun(tx, { ...violating, job, violation: assessment.violation });
  }
  const { metrics, overBudget } = assessment;
  const node = await writeStep(tx, job, run.id, input.step);
  const set = { ...metrics, ...countGuards(metrics, guardsRun) };
  const event = stepEvent(run, node, input.step);
  const keptReports = overBudget ? [] : toReportRows(input, job, { nodeExecutionId: node.id });
  const written = await writeVersion(tx, { job, set, event }, insertReportsCte(keptReports));
  // The step is kept with what it cost; that the budget is exceeded is a version of its own.
  if (overBudget) return failViolatingRun(tx, { ...violating, job: written.job, violation: overBudget });
  // Nothing of the run itself was written: it stands as it was read under its job's lock.
  return { job: written.job, run, node };
}

async function readKeptNode(tx: Transaction, { nodeExecutionId }: KeptReport): Promise<NodeExecution> {
  const node = nodeExecutionId === null ? undefined : await readNode(tx, nodeExecutionId);
  if (!node) throw new Error("A step that was kept has its node.");
  return node;
}

function stepEvent(run: WorkflowRun, node: NodeExecution, step: Step): EventDraft {
  return {
    type: node.nodeType === "llm_call" ? "LLM_INFERENCE" : "NODE_CHANGED",
    by: { actor: "AGENT", actorId: run.workerId },
    payload: {
      node_id: node.nodeId,
      node_type: node.nodeType,
      sequence: node.sequence,
      outcome: toDbEnum(step.outcome),
      error_message: step.errorMessage,
    },
  };
}

function texts(snippets: readonly RetrievedSnippet[]): readonly GuardedText[] {
  return snippets.map(({ sourceId, content }, index) => ({
    sourceId,
    path: `retrievedSnippets[${index}].content`,
    text: content,
  }));
}
