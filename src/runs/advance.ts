import type { NodeExecution } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import type { Run, StoredReport } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import {
  type AccessModeViolationError,
  type BudgetExceededError,
  type GuardFailedError,
  InvalidInputError,
  type TryAgainError,
} from "../errors.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import type { Progress } from "../jobs/progress.ts";
import { writeVersion } from "../jobs/store.ts";
import { costPayload, insertUsageCte, toUsageEntries } from "../jobs/usage/ledger.ts";
import { type EventDraft, workerOf } from "../log/event.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import type { PoisonedJob } from "../security/poison.ts";
import { admitReport, type ReportRefusal } from "./admission.ts";
import { guardReports } from "./guard-reports.ts";
import { lockJobsOfRuns, scopeOfReports } from "./lock.ts";
import { observeSteps, readNode, writeNodesCte } from "./nodes.ts";
import { assessReport } from "./policy.ts";
import { progressOfVersion, sourcesOfProgress } from "./progress.ts";
import { hashIfLarge, insertReportsCte, type Report, toReportRows } from "./report.ts";
import { type RetrievedSnippet, sourcesOfSnippets } from "./retrieved-snippets.ts";
import { onlyNodeOf, planSteps, type Step, type StepPlan } from "./steps.ts";
import { letProgressGoCte, NO_NEXT_PROGRESS } from "./store.ts";
import { failViolatingRun } from "./violating-runs.ts";

/** A worker's report of steps. */
export interface AdvanceWorkflow extends Report {
  /** One at least, in the order in which they happened. */
  readonly steps: readonly Step[];
  readonly retrievedSnippets: readonly RetrievedSnippet[];
  readonly metrics: MetricsDelta;
  /** Left out where there is none, as with a heartbeat. */
  readonly progress?: Progress | undefined;
}

/** The answer to steps that are stored. */
export interface Advanced {
  readonly job: JobSummary;
  readonly run: Run;
  /** The node of the last step. */
  readonly node: NodeExecution;
}

/** Why steps that have passed their guards were not stored, or failed their job. */
type StepError = ReportRefusal | InvalidInputError | AccessModeViolationError | BudgetExceededError;

/** Why steps were not stored, or failed their job. */
export type AdvanceWorkflowError = StepError | GuardFailedError | TryAgainError;

/**
 * Reports steps (section 6): checks the lease, runs the guards over everything that the report brings, then stores the steps, all of them
 * or none.
 * @returns the stored steps; the job, when a guard poisoned it; or why the steps were not stored.
 * @throws TryAgainError when the database rolled the transaction back too often, or too much large content waits for guards;
 * nothing is stored.
 */
export async function advanceWorkflow(
  engine: EngineContext,
  input: AdvanceWorkflow,
): Promise<Advanced | PoisonedJob | AdvanceWorkflowError> {
  await hashIfLarge(engine, input);
  const [guarded] = await guardReports(engine, [{ report: input, sources: sourcesOf(input), to: "RUNNING" }]);
  switch (guarded?.outcome) {
    case "PASSED":
      return storeSteps(engine, input, guarded.guardsRun);
    case "POISONED":
      return guarded.poisoned;
    case "REFUSED":
      return guarded.error;
    case undefined:
      throw new Error("Each report is guarded.");
  }
}

/** @param guardsRun how many guards this server ran over the report; added to the job's `validators_run_count`. */
function storeSteps(engine: EngineContext, input: AdvanceWorkflow, guardsRun: number): Promise<Advanced | StepError> {
  return inTransaction(engine, scopeOfReports([input]), (tx) => storeInTransaction(tx, input, guardsRun));
}

async function storeInTransaction(
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
  const { nodes } = admission;
  const plan = planSteps(run, input.steps, nodes, job.now, [...path, "steps"]);
  const assessment = assessReport(job, input, path, plan instanceof InvalidInputError ? plan : null);
  if (assessment.kind === "REFUSED") return assessment.error;
  // The version of a step takes the progress that waits with its run.
  const violating = { run: { ...run, ...NO_NEXT_PROGRESS }, report: input };
  if (assessment.kind === "VIOLATION") {
    return failViolatingRun(tx, { ...violating, run, job, violation: assessment.violation });
  }
  if (plan instanceof InvalidInputError) throw new Error("Steps that do not fit their run refuse the report.");
  const { metrics, overBudget } = assessment;
  const node = plan.nodes.at(-1);
  if (!node) throw new Error("A report of steps has one at least.");
  const progress = progressOfVersion(job, run, input.progress);
  const releases = plan.hasSucceeded ? 0 : job.releases;
  const set = { ...metrics, ...countGuards(metrics, guardsRun), ...progress, releases };
  const reportRows = overBudget ? [] : toReportRows(input, job, { nodeExecutionId: node.id });
  const written = await writeVersion(tx, { job, set, event: stepsEvent(run, plan, input) }, [
    ...writeNodesCte([plan]),
    ...insertReportsCte(reportRows),
    ...insertUsageCte(toUsageEntries(input, job, onlyNodeOf(plan))),
    ...letProgressGoCte([run]),
  ]);
  observeSteps(tx, job.jobKind, plan);
  // Two versions: the first stores the steps with their metrics, the second fails the job for exceeding its budget.
  if (overBudget) return failViolatingRun(tx, { ...violating, job: written.job, violation: overBudget });
  // Steps write nothing to the run but the progress that waited, so the run is still as it was read under the job's lock.
  return { job: written.job, run, node };
}

/** Reads the node that an earlier report of a step wrote. */
async function readReportedNode(tx: Transaction, { nodeExecutionId }: StoredReport): Promise<NodeExecution> {
  const node = nodeExecutionId === null ? undefined : await readNode(tx, nodeExecutionId);
  if (!node) throw new Error("The stored report of a step refers to its node.");
  return node;
}

function stepsEvent(run: Run, { nodes, payload }: StepPlan, { metrics }: AdvanceWorkflow): EventDraft {
  const isInference = nodes.some(({ nodeType }) => nodeType === "llm_call");
  return {
    type: isInference ? "LLM_INFERENCE" : "NODE_CHANGED",
    by: workerOf(run),
    payload: { steps: payload, ...costPayload(metrics) },
  };
}

/** Everything that the report of steps brings: the steps themselves, its progress, and the snippets. */
function sourcesOf({ steps, retrievedSnippets, progress }: AdvanceWorkflow): readonly GuardedSource[] {
  return [
    { sourceId: null, path: "steps", value: steps },
    ...sourcesOfProgress(progress),
    ...sourcesOfSnippets(retrievedSnippets),
  ];
}
