import { AppError, IllegalTransitionError, InvalidInputError, JobPoisonedError } from "../errors.ts";
import type { GuardedText } from "../guards/guard.ts";
import { addMetrics, countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { recordOne } from "../recorder/commit.ts";
import type { EventDraft } from "../recorder/event.ts";
import type { ReportedJob } from "../recorder/lock.ts";
import { inTransaction, reading, type Transaction } from "../recorder/transaction.ts";
import { type JobHead, word } from "../storage/columns.ts";
import type { NodeExecution, WorkflowRun } from "../storage/generated/client/client.ts";
import { type Breach, breachOf, breachOfAccess, breachOfBudget, errorOf, failBroken } from "./breach.ts";
import type { Engine } from "./engine.ts";
import type { Poisoned } from "./hand-out.ts";
import { admitReport, directiveOf, type ReportRefusal, recogniseReport } from "./lease.ts";
import { readNode, type Step, writeStep } from "./nodes.ts";
import type { Fence } from "./poison.ts";
import { findReport, isRepeated, keptReport, keptReports, type Report } from "./reports.ts";
import { type LockedReport, lockReported, readReported, readRun } from "./runs.ts";
import { guardContent, injectionPatterns } from "./trap.ts";

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
  readonly job: JobHead;
  readonly run: WorkflowRun;
  readonly node: NodeExecution;
}

/** Reports a step. The lease is judged, then the guards run over what it brings, and only then is any of it kept. */
export async function advanceWorkflow(engine: Engine, input: AdvanceWorkflow): Promise<Advanced | Poisoned | AppError> {
  if (input.retrievedSnippets.length === 0) return keep(engine, input, 0);
  const [reported, earlier] = await reading(() =>
    Promise.all([readReported(engine.prisma, input.workflowRunId), findReport(engine.prisma, input)]),
  );
  // What was kept before has been guarded before.
  if (earlier) return keep(engine, input, 0);
  const admitted = admitReport(reported, input.leaseToken, "RUNNING");
  if (admitted instanceof AppError) return admitted;
  // A report whose lease was lost while the guards ran neither changes nor poisons anything (section 6).
  const fence: Fence = async (tx, job) => {
    const run = await readRun(tx, input.workflowRunId);
    const held = admitReport(run && { run, job, now: job.now }, input.leaseToken, "RUNNING");
    return held instanceof AppError ? held : null;
  };
  const { job } = admitted;
  const patterns = await injectionPatterns(engine, job.capabilityProfileId);
  const guarded = await guardContent(engine, job, { texts: texts(input.retrievedSnippets), patterns }, fence);
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
  const reported = (await lockReported(tx, [input])).get(input.workflowRunId);
  const judged = judge(input, reported);
  if (judged instanceof AppError) return judged;
  const { job, run, repeatedNode } = judged;
  if (repeatedNode !== null) {
    const node = await readNode(tx, repeatedNode);
    if (!node) throw new Error("The node that a report was kept with is kept, too.");
    return { job, run, node };
  }
  const forbidden = breachOfAccess(job, input.metrics);
  if (forbidden) return broken(tx, input, job, run, forbidden);
  const metrics = addMetrics(job, input.metrics, ["input", "metrics"]);
  if (metrics instanceof InvalidInputError) return metrics;
  const node = await writeStep(tx, job, run.id, input.step);
  const set = { ...metrics, ...countGuards(metrics, guardsRun) };
  const passed = breachOfBudget(job, metrics);
  const kept = passed ? [] : keptReport(input, job, { nodeExecutionId: node.id });
  const recorded = await recordOne(tx, { job, set, event: stepEvent(run, node, input.step) }, keptReports(kept));
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
  const repeated = isRepeated(input, earlier, ["input"]);
  const breach = repeated === true && earlier ? breachOf(earlier) : null;
  if (breach) return errorOf(breach, recognised.job);
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
  breach: Breach,
): Promise<AppError> {
  const [failed] = await failBroken(tx, [{ job, run, breach }], keptReport(input, job, { breach }));
  return errorOf(breach, failed?.job ?? job);
}

function stepEvent(run: WorkflowRun, node: NodeExecution, step: Step): EventDraft {
  return {
    type: node.nodeType === "llm_call" ? "LLM_INFERENCE" : "NODE_CHANGED",
    by: { actor: "AGENT", actorId: run.workerId },
    payload: {
      node_id: node.nodeId,
      node_type: node.nodeType,
      sequence: node.sequence,
      outcome: word(step.outcome),
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
