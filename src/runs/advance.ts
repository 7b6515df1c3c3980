import type { NodeExecution, WorkflowRun } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { type StoredReport, toDbEnum } from "../db/rows.ts";
import { inTransaction, readWithRetry, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import {
  type AccessModeViolationError,
  AppError,
  type BudgetExceededError,
  type GuardFailedError,
  InvalidInputError,
} from "../errors.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { writeVersion } from "../jobs/store.ts";
import type { EventDraft } from "../log/event.ts";
import { guardContent, injectionPatterns } from "../security/guard-content.ts";
import type { GuardedText } from "../security/guards/guard.ts";
import type { PoisonedJob, Precondition } from "../security/poison.ts";
import { admitReport, checkLease, type ReportRefusal } from "./admission.ts";
import { lockJobsOfRuns, readRunWithJob } from "./lock.ts";
import { readNode, type Step, writeStep } from "./nodes.ts";
import { assessReport } from "./policy.ts";
import { findReport, insertReportsCte, type Report, toReportRows } from "./report.ts";
import { readRun } from "./store.ts";
import { failViolatingRun } from "./violating-runs.ts";

/** How sensitive the source of a snippet is, with what each value means. */
export const SENSITIVITIES = {
  LOW: "Public.",
  MEDIUM: "For internal use.",
  HIGH: "Must not leave the user's machines.",
  UNKNOWN: "Not stated; to be treated as HIGH.",
} as const;

/**
 * A piece of content that a worker read for its step, as raw text [HSK-ACE-VAL-100]. It is guarded, and not stored. What
 * no guard looks at yet still tells two reports with the same `reportId` from each other.
 */
export interface RetrievedSnippet {
  readonly sourceId: string;
  /** The source's hash in its own system. */
  readonly sourceHash?: string | undefined;
  readonly content: string;
  /** How sensitive the source is. */
  readonly sensitivity: keyof typeof SENSITIVITIES;
  /** Whether the source may be exported. */
  readonly exportable: boolean;
}

/** A worker's report of one step. */
export interface AdvanceWorkflow extends Report {
  readonly step: Step;
  readonly retrievedSnippets: readonly RetrievedSnippet[];
  readonly metrics: MetricsDelta;
}

/** The answer to a step that is stored. */
export interface Advanced {
  readonly job: JobSummary;
  readonly run: WorkflowRun;
  readonly node: NodeExecution;
}

/** Why a step that has passed its guards, or has nothing to guard, was not stored, or failed its job. */
type StepError = ReportRefusal | InvalidInputError | AccessModeViolationError | BudgetExceededError;

/** Why a step was not stored, or failed its job. */
export type AdvanceWorkflowError = StepError | GuardFailedError;

/**
 * Reports a step (section 6): checks the lease, runs the guards over the retrieved snippets, then stores the step. Guards
 * never run inside a transaction, so the lease is checked again under the job's lock before anything is written.
 * @returns the stored step; the job, when a guard poisoned it; or why the step was not stored.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export async function advanceWorkflow(
  engine: EngineContext,
  input: AdvanceWorkflow,
): Promise<Advanced | PoisonedJob | AdvanceWorkflowError> {
  if (input.retrievedSnippets.length === 0) return storeStep(engine, input, 0);
  const [reported, earlierReport] = await readWithRetry(() =>
    Promise.all([readRunWithJob(engine.prisma, input.workflowRunId), findReport(engine.prisma, input)]),
  );
  // Not guarded again: a repeat of the earlier report was guarded then, and another report with its id is refused.
  if (earlierReport) return storeStep(engine, input, 0);
  const leased = checkLease(reported, input, "RUNNING");
  if (leased instanceof AppError) return leased;
  // A worker that lost its lease while the guards ran must neither change nor poison the job (section 5).
  const stillLeased: Precondition<ReportRefusal> = async (tx, job) => {
    const run = await readRun(tx, input.workflowRunId);
    const checked = checkLease(run && { run, job, now: job.now }, input, "RUNNING");
    return checked instanceof AppError ? checked : null;
  };
  const { job } = leased;
  const patterns = await injectionPatterns(engine, job.capabilityProfileId);
  const content = { texts: guardedTexts(input.retrievedSnippets), patterns };
  const result = await guardContent(engine, job, content, stillLeased);
  switch (result.outcome) {
    case "PASSED":
      return storeStep(engine, input, result.guardsRun);
    case "POISONED":
      return result.poisoned;
    case "VIOLATION_NOT_APPLIED":
    case "REFUSED":
      return result.error;
  }
}

/** @param guardsRun how many guards this server ran over the step's snippets; added to the job's `validators_run_count`. */
async function storeStep(
  engine: EngineContext,
  input: AdvanceWorkflow,
  guardsRun: number,
): Promise<Advanced | StepError> {
  try {
    return await inTransaction(engine, (tx) => storeStepInTransaction(tx, input, guardsRun));
  } catch (error) {
    // `writeStep` throws when the step does not fit its run. Returning the error would commit what was already written.
    if (error instanceof InvalidInputError) return error;
    throw error;
  }
}

async function storeStepInTransaction(
  tx: Transaction,
  input: AdvanceWorkflow,
  guardsRun: number,
): Promise<Advanced | StepError> {
  const lockedRun = (await lockJobsOfRuns(tx, [input])).get(input.workflowRunId);
  const path = ["input"];
  const admission = admitReport(input, lockedRun, {
    to: "RUNNING",
    releasesLease: false,
    violations: ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"],
    path,
  });
  if (admission.kind === "REFUSED" || admission.kind === "ID_TAKEN") return admission.error;
  const { job, run } = admission;
  if (admission.kind === "REPEAT") return { job, run, node: await readReportedNode(tx, admission.earlierReport) };
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
  const reportRows = overBudget ? [] : toReportRows(input, job, { nodeExecutionId: node.id });
  const written = await writeVersion(tx, { job, set, event }, insertReportsCte(reportRows));
  // Two versions: the first stores the step with its metrics, the second fails the job for exceeding its budget.
  if (overBudget) return failViolatingRun(tx, { ...violating, job: written.job, violation: overBudget });
  // A step writes nothing to the run, so the run is still as it was read under the job's lock.
  return { job: written.job, run, node };
}

/** Reads the node that an earlier report of a step wrote. */
async function readReportedNode(tx: Transaction, { nodeExecutionId }: StoredReport): Promise<NodeExecution> {
  const node = nodeExecutionId === null ? undefined : await readNode(tx, nodeExecutionId);
  if (!node) throw new Error("The stored report of a step refers to its node.");
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

function guardedTexts(snippets: readonly RetrievedSnippet[]): readonly GuardedText[] {
  return snippets.map(({ sourceId, content }, index) => ({
    sourceId,
    path: `retrievedSnippets[${index}].content`,
    text: content,
  }));
}
