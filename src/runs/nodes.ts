import { uuidv7 } from "uuidv7";
import type { NodeExecution } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { type JsonValue, NODE_COLUMNS } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { InvalidInputError } from "../errors.ts";
import type { LockedJobSummary } from "../jobs/lock.ts";
import { redactText } from "../log/redact.ts";
import { quote } from "../quote.ts";

/** What a worker reports about a step: that it started, or how it ended. */
export type StepOutcome = "STARTED" | "SUCCEEDED" | "FAILED";

/** A step as a worker reports it. */
export interface Step {
  /** The step's name, which each node (execution) of the step has. */
  readonly nodeId: string;
  readonly nodeType: string;
  readonly outcome: StepOutcome;
  /** For outcome STARTED only: the names (`nodeId`) of the steps that must have succeeded before this step may start. */
  readonly dependsOn?: readonly string[];
  readonly inputPayload: JsonValue;
  readonly outputPayload: JsonValue;
  readonly errorMessage: string | null;
}

/** The most nodes of one run. Without a limit, reading a run's nodes, which is not paged, would be unbounded. */
const MAX_NODES_PER_RUN = 1000;

/**
 * Writes a report of a step (section 6, "Nodes") [HSK-WF-001]: STARTED opens a node of the step, SUCCEEDED and FAILED end the
 * step's open node.
 * @param job the run's job, which `tx` has locked.
 * @returns the node as it is stored.
 * @throws InvalidInputError when the step does not fit the run's nodes. A row may have been written by then: the transaction
 * must be rolled back.
 */
export function writeStep(tx: Transaction, job: LockedJobSummary, runId: string, step: Step): Promise<NodeExecution> {
  return step.outcome === "STARTED" ? openNode(tx, job, runId, step) : endNode(tx, job, runId, step);
}

async function openNode(tx: Transaction, job: LockedJobSummary, runId: string, step: Step): Promise<NodeExecution> {
  const { dependsOn = [] } = step;
  if (dependsOn.length > 0) checkDependencies(dependsOn, await latestStates(tx, job.jobId, runId, dependsOn));
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    INSERT INTO node_executions
      (id, workspace_id, workflow_run_id, node_id, node_type, sequence, depends_on, input_payload, started_at)
    SELECT ${uuidv7()}::uuid, ${job.workspaceId}::uuid, ${runId}::uuid, ${step.nodeId}, ${step.nodeType},
      coalesce(max(sequence), 0) + 1, ${dependsOn}::text[], ${toJsonText(step.inputPayload)}::jsonb, ${job.now}
    FROM node_executions WHERE workflow_run_id = ${runId}::uuid
    ON CONFLICT (workflow_run_id, node_id) WHERE finished_at IS NULL DO NOTHING
    RETURNING ${NODE_COLUMNS}`;
  if (!node) throw refuse("nodeId", `The step ${quote(step.nodeId)} is running already. Report its outcome first.`);
  if (node.sequence > MAX_NODES_PER_RUN) {
    throw refuse("nodeId", `A run has at most ${MAX_NODES_PER_RUN} node executions. Split the work into several jobs.`);
  }
  return node;
}

/**
 * @returns by step name (`nodeId`), the state of the step's latest node in this run; where it has none, COMPLETED if the step succeeded in
 * an earlier run of the job, whose result this run has (section 13); nothing for a step that was never started.
 */
async function latestStates(
  tx: Transaction,
  jobId: string,
  runId: string,
  nodeIds: readonly string[],
): Promise<ReadonlyMap<string, JobState>> {
  const rows = await tx.$queryRaw<{ nodeId: string; state: JobState }[]>`
    SELECT DISTINCT ON (node_id) node_id AS "nodeId", upper(n.state::text) AS state
    FROM workflow_runs r JOIN node_executions n ON n.workflow_run_id = r.id
    WHERE r.job_id = ${jobId}::uuid AND node_id = ANY(${nodeIds}::text[])
      AND (r.id = ${runId}::uuid OR n.state = 'completed')
    ORDER BY node_id, r.id = ${runId}::uuid DESC, sequence DESC`;
  return new Map(rows.map(({ nodeId, state }) => [nodeId, state]));
}

/** @throws InvalidInputError when a step that this step depends on has not succeeded. */
function checkDependencies(dependsOn: readonly string[], states: ReadonlyMap<string, JobState>): void {
  for (const nodeId of dependsOn) {
    const state = states.get(nodeId);
    if (state === "COMPLETED") continue;
    const problem = state === undefined ? "was never started" : state === "RUNNING" ? "has not finished" : "failed";
    throw refuse("dependsOn", `The step ${quote(nodeId)}, on which this one depends, ${problem}.`);
  }
}

async function endNode(tx: Transaction, job: LockedJobSummary, runId: string, step: Step): Promise<NodeExecution> {
  if (step.dependsOn?.length) throw refuse("dependsOn", "Only a step with the outcome STARTED may have dependsOn.");
  const hasSucceeded = step.outcome === "SUCCEEDED";
  const message = step.errorMessage === null ? null : redactText(step.errorMessage);
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    UPDATE node_executions SET state = ${hasSucceeded ? "completed" : "failed"}::"JobState",
      output_payload = ${toJsonText(step.outputPayload)}::jsonb, error_message = ${message}, finished_at = ${job.now}
    WHERE workflow_run_id = ${runId}::uuid AND node_id = ${step.nodeId} AND finished_at IS NULL
    RETURNING ${NODE_COLUMNS}`;
  if (!node) throw refuse("nodeId", `The step ${quote(step.nodeId)} is not running. Report the outcome STARTED first.`);
  if (node.nodeType !== step.nodeType) {
    throw refuse("nodeType", `The step ${quote(step.nodeId)} was started with the type ${quote(node.nodeType)}.`);
  }
  return node;
}

/** @returns the node with this id; undefined when there is none. */
export async function readNode(tx: Transaction, id: string): Promise<NodeExecution | undefined> {
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    SELECT ${NODE_COLUMNS} FROM node_executions WHERE id = ${id}::uuid`;
  return node;
}

function toJsonText(value: JsonValue): string | null {
  return value === null ? null : JSON.stringify(value);
}

function refuse(field: string, message: string): InvalidInputError {
  return new InvalidInputError(["input", "step", field], message);
}
