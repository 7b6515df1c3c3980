import type { PoisonedJob } from "../claims/guard-and-deliver.ts";
import type { NodeExecution, WorkflowRun } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { toDbEnum } from "../db/rows.ts";
import { inTransaction, readWithRetry, type Transaction } from "../db/transaction.ts";
import type { Engine } from "../engine.ts";
import { AppError, IllegalTransitionError, InvalidInputError, JobPoisonedError } from "../errors.ts";
import type { ReportedJob } from "../jobs/lock.ts";
import { addMetrics, countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import type { EventDraft } from "../log/event.ts";
import { guardContent, injectionPatterns } from "../security/guard-content.ts";
import type { GuardedText } from "../security/guards/guard.ts";
import type { Precondition } from "../security/poison.ts";
import {
  admitReport,
  directiveOf,
  type LockedReport,
  lockReportedRuns,
  type ReportRefusal,
  readReportedRun,
  recogniseReport,
} from "./admission.ts";
import { readNode, type Step, writeStep } from "./nodes.ts";
import {
  checkAccessMode,
  checkTokenBudget,
  failViolatingRuns,
  type PolicyViolation,
  policyError,
  violationKeptIn,
} from "./policy.ts";
import { findReport, insertReportsCte, isRepeat, type Report, toReportRows } from "./report.ts";
import { readRun } from "./store.ts";

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

/** Reports a step. The lease is judged, then the guards run over what it brings, and only then is any of it kept. */
export async function advanceWorkflow(
  engine: Engine,
  input: AdvanceWorkflow,
): Promise<Advanced | PoisonedJob | AppError> {
  if (input.retrievedSnippets.length === 0) return keep(engine, input, 0);
  const [reported, earlier] = await readWithRetry(() =>
    Promise.all([readReportedRun(engine.prisma, input.workflowRunId), findReport(engine.prisma, input)]),
  );
  // What was kept before has been guarded before.
  if (earlier) return keep(engine, input, 0);
  const admitted = admitReport(reported, input.leaseToken, "RUNNING");
  if (admitted instanceof AppError) return admitted;
  // A report whose lease was lost while the guards ran neither changes nor poisons anything (section 6).
  const precondition: Precondition = async (tx, job) => {
    const run = await readRun(tx, input.workflowRunId);
    const held = admitReport(run && { run, job, now: job.now }, input.leaseToken, "RUNNING");
    return held instanceof AppError ? held : null;
  };
  const { job } = admitted;
  const patterns = await injectionPatterns(engine, job.capabilityProfileId);
  const guarded = await guardContent(engine, job, { texts: texts(input.retrievedSnippets), patterns }, precondition);
  switch (guarded.verdict) {
    case "PASSED":
      return keep(engine, input, guarded.guardsRun);
    case "REFUSED":
      return guarded.refusal;
    case "TRAPPED": {
      const { violation, outcome } = guarded;
      if (outcome.action === "REFUSED") return outcome.refusal;
      if (outcome.action === "POISONED") return { job: outcome.job, violation, event: outcome.event };
      // Unreachable while the fence refuses every job that has ended; the union is answered all the same.
      if (outcome.action === "ALREADY_POISONED") return new JobPoisonedError(outcome.job);
      return new IllegalTransitionError(outcome.job.state, "RUNNING", directiveOf(outcome.job.state));
    }
  }
}

async function keep(engine: Engine, input: AdvanceWorkflow, guardsRun: number): Promise<Advanced | AppError> {
  try {
    return await inTransaction(engine, (tx) => keepStep(tx, input, guardsRun));
  } catch (error) {
    // Thrown, not returned, where the step does not fit its run: the transaction has written by then.
    if (error instanceof InvalidInputError) return error;
    throw error;
  }
}

async function keepStep(tx: Transaction, input: AdvanceWorkflow, guardsRun: number): Promise<Advanced | AppError> {
  const reported = (await lockReportedRuns(tx, [input])).get(input.workflowRunId);
  const judged = judge(input, reported);
  if (judged instanceof AppError) return judged;
  const { job, run, repeatedNode } = judged;
  if (repeatedNode !== null) {
    const node = await readNode(tx, repeatedNode);
    if (!node) throw new Error("The node that a report was kept with is kept, too.");
    return { job, run, node };
  }
  const forbidden = checkAccessMode(job, input.metrics);
  if (forbidden) return broken(tx, input, job, run, forbidden);
  const metrics = addMetrics(job, input.metrics, ["input", "metrics"]);
  if (metrics instanceof InvalidInputError) return metrics;
  const node = await writeStep(tx, job, run.id, input.step);
  const set = { ...metrics, ...countGuards(metrics, guardsRun) };
  const passed = checkTokenBudget(job, metrics);
  const kept = passed ? [] : toReportRows(input, job, { nodeExecutionId: node.id });
  const recorded = await writeVersion(
    tx,
    { job, set, event: stepEvent(run, node, input.step) },
    insertReportsCte(kept),
  );
  // The step is kept with what it cost; that the budget is passed is a version of its own.
  if (passed) return broken(tx, input, recorded.job, run, passed);
  return { job: recorded.job, run, node };
}

/** The job and the run that a step may be kept in; and the node of the same report, where it was kept before. */
function judge(
  input: AdvanceWorkflow,
  reported: LockedReport | undefined,
): { job: ReportedJob; run: WorkflowRun; repeatedNode: string | null } | ReportRefusal | AppError {
  const recognised = recogniseReport(reported, input.leaseToken);
  if (recognised instanceof AppError) return recognised;
  const { earlier } = recognised;
  const repeated = isRepeat(input, earlier, ["input"]);
  const violation = repeated === true && earlier ? violationKeptIn(earlier) : null;
  if (violation) return policyError(violation, recognised.job);
  const admitted = admitReport(recognised, input.leaseToken, "RUNNING");
  if (admitted instanceof AppError) return admitted;
  if (repeated instanceof AppError) return repeated;
  return { job: admitted.job, run: admitted.run, repeatedNode: earlier?.nodeExecutionId ?? null };
}

async function broken(
  tx: Transaction,
  input: AdvanceWorkflow,
  job: ReportedJob,
  run: WorkflowRun,
  violation: PolicyViolation,
): Promise<AppError> {
  const [failed] = await failViolatingRuns(tx, [{ job, run, violation }], toReportRows(input, job, { violation }));
  return policyError(violation, failed?.job ?? job);
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
