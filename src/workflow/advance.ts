import { AppError, IllegalTransitionError, InvalidInputError, JobPoisonedError } from "../errors.ts";
import type { GuardedText } from "../guards/guard.ts";
import { addMetrics, countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { recordOne, type Transaction } from "../recorder/commit.ts";
import type { EventDraft } from "../recorder/event.ts";
import { inTransaction } from "../recorder/transaction.ts";
import { word } from "../storage/columns.ts";
import type { AiJob, NodeExecution, WorkflowRun } from "../storage/generated/client/client.ts";
import type { Engine } from "./engine.ts";
import { admitReport, directiveOf } from "./lease.ts";
import { type Step, writeStep } from "./nodes.ts";
import type { Fence } from "./poison.ts";
import { lockReported, readReported, readRun } from "./runs.ts";
import type { Poisoned } from "./start.ts";
import { guardContent } from "./trap.ts";

/** What a worker read for its step, as raw UTF-8 content [HSK-ACE-VAL-100]. */
export interface RetrievedSnippet {
  readonly sourceId: string;
  readonly content: string;
}

export interface AdvanceWorkflow {
  readonly workflowRunId: string;
  readonly leaseToken: string;
  readonly step: Step;
  readonly retrievedSnippets: readonly RetrievedSnippet[];
  readonly metrics: MetricsDelta;
}

export interface Advanced {
  readonly job: AiJob;
  readonly run: WorkflowRun;
  readonly node: NodeExecution;
}

/** Reports a step. The lease is judged, then the guards run over what it brings, and only then is any of it kept. */
export async function advanceWorkflow(engine: Engine, input: AdvanceWorkflow): Promise<Advanced | Poisoned | AppError> {
  if (input.retrievedSnippets.length === 0) return keep(engine, input, 0);
  const admitted = admitReport(await readReported(engine.prisma, input.workflowRunId), input.leaseToken, "RUNNING");
  if (admitted instanceof AppError) return admitted;
  // A report whose lease was lost while the guards ran neither changes nor poisons anything (section 6).
  const fence: Fence = async (tx, job) => {
    const run = await readRun(tx, input.workflowRunId);
    const held = admitReport(run && { run, job, now: job.now }, input.leaseToken, "RUNNING");
    return held instanceof AppError ? held : null;
  };
  const guarded = await guardContent(engine, admitted.job, texts(input.retrievedSnippets), fence);
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
  const reported = (await lockReported(tx, [input.workflowRunId])).get(input.workflowRunId);
  const admitted = admitReport(reported, input.leaseToken, "RUNNING");
  if (admitted instanceof AppError) return admitted;
  const { job, run } = admitted;
  const metrics = addMetrics(job, input.metrics, ["input", "metrics"]);
  if (metrics instanceof InvalidInputError) return metrics;
  const node = await writeStep(tx, job, run.id, input.step);
  const set = { ...metrics, ...countGuards(metrics, guardsRun) };
  const recorded = await recordOne(tx, { job, set, event: stepEvent(run, node, input.step) });
  return { job: recorded.job, run, node };
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
