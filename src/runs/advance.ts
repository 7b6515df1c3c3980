import type { NodeExecution } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import { type Run, type StoredReport, toDbEnum } from "../db/rows.ts";
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
import { readNode, type Step, writeStep } from "./nodes.ts";
import { assessReport } from "./policy.ts";
import { progressOfVersion, sourcesOfProgress } from "./progress.ts";
import { hashIfLarge, insertReportsCte, type Report, toReportRows } from "./report.ts";
import { letProgressGoCte, NO_NEXT_PROGRESS } from "./store.ts";
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
  /** Left out where there is none, as with a heartbeat. */
  readonly progress?: Progress | undefined;
}

/** The answer to a step that is stored. */
export interface Advanced {
  readonly job: JobSummary;
  readonly run: Run;
  readonly node: NodeExecution;
}

/** Why a step that has passed its guards was not stored, or failed its job. */
type StepError = ReportRefusal | InvalidInputError | AccessModeViolationError | BudgetExceededError;

/** Why a step was not stored, or failed its job. */
export type AdvanceWorkflowError = StepError | GuardFailedError | TryAgainError;

/**
 * Reports a step (section 6): checks the lease, runs the guards over everything that the report brings, then stores the step.
 * @returns the stored step; the job, when a guard poisoned it; or why the step was not stored.
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
      return storeStep(engine, input, guarded.guardsRun);
    case "POISONED":
      return guarded.poisoned;
    case "REFUSED":
      return guarded.error;
    case undefined:
      throw new Error("Each report is guarded.");
  }
}

/** @param guardsRun how many guards this server ran over the report; added to the job's `validators_run_count`. */
async function storeStep(
  engine: EngineContext,
  input: AdvanceWorkflow,
  guardsRun: number,
): Promise<Advanced | StepError> {
  try {
    return await inTransaction(engine, scopeOfReports([input]), (tx) => storeStepInTransaction(tx, input, guardsRun));
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
  // The version of a step takes the progress that waits with its run.
  const violating = { run: { ...run, ...NO_NEXT_PROGRESS }, report: input };
  if (assessment.kind === "VIOLATION") {
    return failViolatingRun(tx, { ...violating, run, job, violation: assessment.violation });
  }
  const { metrics, overBudget } = assessment;
  const node = await writeStep(tx, job, run.id, input.step);
  // A step that succeeded: the job has got on, and may be given back a hundred times more.
  const releases = input.step.outcome === "SUCCEEDED" ? 0 : job.releases;
  const progress = progressOfVersion(job, run, input.progress);
  const set = { ...metrics, ...countGuards(metrics, guardsRun), ...progress, releases };
  const event = stepEvent(run, node, input);
  const reportRows = overBudget ? [] : toReportRows(input, job, { nodeExecutionId: node.id });
  const usage = toUsageEntries(input, job, node.id);
  const written = await writeVersion(tx, { job, set, event }, [
    ...insertReportsCte(reportRows),
    ...insertUsageCte(usage),
    ...letProgressGoCte([run]),
  ]);
  // Two versions: the first stores the step with its metrics, the second fails the job for exceeding its budget.
  if (overBudget) return failViolatingRun(tx, { ...violating, job: written.job, violation: overBudget });
  // A step writes nothing to the run but the progress that waited, so the run is still as it was read under the job's lock.
  return { job: written.job, run, node };
}

/** Reads the node that an earlier report of a step wrote. */
async function readReportedNode(tx: Transaction, { nodeExecutionId }: StoredReport): Promise<NodeExecution> {
  const node = nodeExecutionId === null ? undefined : await readNode(tx, nodeExecutionId);
  if (!node) throw new Error("The stored report of a step refers to its node.");
  return node;
}

function stepEvent(run: Run, node: NodeExecution, { step, metrics }: AdvanceWorkflow): EventDraft {
  return {
    type: node.nodeType === "llm_call" ? "LLM_INFERENCE" : "NODE_CHANGED",
    by: workerOf(run),
    payload: {
      node_id: node.nodeId,
      node_type: node.nodeType,
      sequence: node.sequence,
      outcome: toDbEnum(step.outcome),
      error_message: step.errorMessage,
      ...costPayload(metrics),
    },
  };
}

/** Everything that the report of a step brings: the step itself, its progress, and the snippets with where they are from. */
function sourcesOf({ step, retrievedSnippets, progress }: AdvanceWorkflow): readonly GuardedSource[] {
  const path = (index: number, field: string) => `retrievedSnippets[${index}].${field}`;
  const snippets = retrievedSnippets.flatMap(({ sourceId, sourceHash, content }, index) => [
    { sourceId, path: path(index, "content"), value: content },
    { sourceId, path: path(index, "sourceId"), value: sourceId },
    { sourceId, path: path(index, "sourceHash"), value: sourceHash },
  ]);
  return [
    { sourceId: null, path: "step", value: step },
    ...sourcesOfProgress(progress),
    ...snippets,
    ...joinedSnippets(retrievedSnippets),
  ];
}

/** How much of the beginning and of the end of a snippet is joined with its neighbours: more than an override is long. */
const JOINED_CHARACTERS = 250;

/**
 * The snippets as one text, since a model reads them so: an override that is parted by the border of two snippets is in neither of
 * them. They are joined as words, and once more as parts of one word, or of one encoded text, where they can be that. Of a long
 * snippet only the ends are joined, because the rest is guarded already.
 */
function joinedSnippets(snippets: readonly RetrievedSnippet[]): readonly GuardedSource[] {
  if (snippets.length < 2) return [];
  const ends = snippets.map(({ content }) =>
    content.length <= 2 * JOINED_CHARACTERS
      ? content
      : `${content.slice(0, JOINED_CHARACTERS)}\n\n${content.slice(-JOINED_CHARACTERS)}`,
  );
  const asWords = ends.join(" ");
  const asParts = ends.reduce((text, next) => `${text}${isWithinWord(text, next) ? "" : " "}${next}`);
  return [...new Set([asWords, asParts])].map((value) => ({
    sourceId: null,
    path: "retrievedSnippets, joined",
    value,
  }));
}

function isWithinWord(before: string, behind: string): boolean {
  return /[\p{L}\p{M}\p{N}+/]$/u.test(before.slice(-2)) && /^[\p{L}\p{M}\p{N}+/=]/u.test(behind);
}
