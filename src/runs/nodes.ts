import { uuidv7 } from "uuidv7";
import type { NodeExecution } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { type JsonValue, NODE_COLUMNS } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { InvalidInputError } from "../errors.ts";
import type { LockedJobSummary } from "../jobs/lock.ts";
import { redactText } from "../log/redact.ts";

export type StepOutcome = "STARTED" | "SUCCEEDED" | "FAILED";

/** A step as a worker reports it. */
export interface Step {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly outcome: StepOutcome;
  /** Ids of nodes of the run that must have succeeded; for a step that starts. */
  readonly dependsOn?: readonly string[];
  readonly inputPayload: JsonValue;
  readonly outputPayload: JsonValue;
  readonly errorMessage: string | null;
}

/** Executions that one run may have: its nodes are read as one list, and no read here is unbounded. */
const MAX_NODES_PER_RUN = 1000;

/**
 * Opens a node, or ends the open one of this name, with the payloads it brings [HSK-WF-001].
 * @throws InvalidInputError where the report does not fit what is open; the transaction is to be rolled back.
 */
export function writeStep(tx: Transaction, job: LockedJobSummary, runId: string, step: Step): Promise<NodeExecution> {
  return step.outcome === "STARTED" ? openNode(tx, job, runId, step) : endNode(tx, job, runId, step);
}

async function openNode(tx: Transaction, job: LockedJobSummary, runId: string, step: Step): Promise<NodeExecution> {
  const { dependsOn = [] } = step;
  if (dependsOn.length > 0) refuseTooSoon(dependsOn, await latestStates(tx, runId, dependsOn));
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    INSERT INTO node_executions
      (id, workspace_id, workflow_run_id, node_id, node_type, sequence, depends_on, input_payload, started_at)
    SELECT ${uuidv7()}::uuid, ${job.workspaceId}::uuid, ${runId}::uuid, ${step.nodeId}, ${step.nodeType},
      coalesce(max(sequence), 0) + 1, ${dependsOn}::text[], ${payload(step.inputPayload)}::jsonb, ${job.now}
    FROM node_executions WHERE workflow_run_id = ${runId}::uuid
    ON CONFLICT (workflow_run_id, node_id) WHERE finished_at IS NULL DO NOTHING
    RETURNING ${NODE_COLUMNS}`;
  if (!node) throw refuse("nodeId", `The node ${step.nodeId} is running already: report how it ended first.`);
  if (node.sequence > MAX_NODES_PER_RUN) {
    throw refuse("nodeId", `A run has at most ${MAX_NODES_PER_RUN} node executions; split the work into jobs.`);
  }
  return node;
}

/** How each of these nodes stands: a node that was started again stands as its latest execution does. */
async function latestStates(
  tx: Transaction,
  runId: string,
  nodeIds: readonly string[],
): Promise<ReadonlyMap<string, JobState>> {
  const rows = await tx.$queryRaw<{ nodeId: string; state: JobState }[]>`
    SELECT DISTINCT ON (node_id) node_id AS "nodeId", upper(state::text) AS state FROM node_executions
    WHERE workflow_run_id = ${runId}::uuid AND node_id = ANY(${nodeIds}::text[])
    ORDER BY node_id, sequence DESC`;
  return new Map(rows.map(({ nodeId, state }) => [nodeId, state]));
}

/** @throws InvalidInputError where a node that must have succeeded has not. */
function refuseTooSoon(dependsOn: readonly string[], states: ReadonlyMap<string, JobState>): void {
  for (const nodeId of dependsOn) {
    const state = states.get(nodeId);
    if (state === "COMPLETED") continue;
    const standing = state === undefined ? "was never started" : state === "RUNNING" ? "has not finished" : "failed";
    throw refuse("dependsOn", `The node ${nodeId}, on which this one depends, ${standing}.`);
  }
}

async function endNode(tx: Transaction, job: LockedJobSummary, runId: string, step: Step): Promise<NodeExecution> {
  if (step.dependsOn?.length) throw refuse("dependsOn", "What a node depends on is told when it starts.");
  const succeeded = step.outcome === "SUCCEEDED";
  const message = step.errorMessage === null ? null : redactText(step.errorMessage);
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    UPDATE node_executions SET state = ${succeeded ? "completed" : "failed"}::"JobState",
      output_payload = ${payload(step.outputPayload)}::jsonb, error_message = ${message}, finished_at = ${job.now}
    WHERE workflow_run_id = ${runId}::uuid AND node_id = ${step.nodeId} AND finished_at IS NULL
    RETURNING ${NODE_COLUMNS}`;
  if (!node) throw refuse("nodeId", `No node ${step.nodeId} of this run is running: report STARTED first.`);
  if (node.nodeType !== step.nodeType) {
    throw refuse("nodeType", `The node ${step.nodeId} was started as ${node.nodeType}.`);
  }
  return node;
}

/** A node's execution by its id. */
export async function readNode(tx: Transaction, id: string): Promise<NodeExecution | undefined> {
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    SELECT ${NODE_COLUMNS} FROM node_executions WHERE id = ${id}::uuid`;
  return node;
}

function payload(value: JsonValue): string | null {
  return value === null ? null : JSON.stringify(value);
}

function refuse(field: string, message: string): InvalidInputError {
  return new InvalidInputError(["input", "step", field], message);
}
