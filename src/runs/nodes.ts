import { type NodeExecution, Prisma } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { NODE_COLUMNS, recordset, toRecordset } from "../db/rows.ts";
import { afterCommit, type Transaction } from "../db/transaction.ts";
import type { ExtraCte } from "../jobs/store.ts";
import type { KnownNodes, Step, StepPlan } from "./steps.ts";

/** Reads and writes of nodes, which the transaction that has locked their job makes (section 6, "Nodes"). What is written: steps.ts. */

/** The steps of a report, with the run that they are of. */
export interface StepsOfRun {
  readonly runId: string;
  readonly jobId: string;
  readonly steps: readonly Step[];
}

type Row = Omit<KnownNodes, "open" | "states"> & {
  readonly runId: string;
  readonly states: Readonly<Record<string, JobState>> | null;
} & (NodeExecution | { readonly id: null });

/**
 * Reads what the steps of reports are decided by, in one statement for all. Their jobs must be locked.
 * @returns what is known of each run, by its id.
 */
export async function readKnownNodes(
  tx: Transaction,
  reports: readonly StepsOfRun[],
): Promise<ReadonlyMap<string, KnownNodes>> {
  if (reports.length === 0) return new Map();
  const asked = reports.map(({ runId, jobId, steps }) => ({
    of_run: runId,
    of_job: jobId,
    names: [...new Set(steps.map(({ nodeId }) => nodeId))],
    needed: [...new Set(steps.flatMap(({ dependsOn = [] }) => dependsOn))],
  }));
  const rows = await tx.$queryRaw<Row[]>`
    SELECT of_run AS "runId", open.*,
      (SELECT coalesce(max(sequence), 0) FROM node_executions WHERE workflow_run_id = of_run) AS "lastSequence",
      EXISTS (
        SELECT FROM node_executions WHERE workflow_run_id = of_run AND finished_at IS NULL AND node_id <> ALL(names)
      ) AS "hasOtherOpen",
      CASE WHEN needed <> '{}' THEN (
        SELECT jsonb_object_agg(node_id, state) FROM (
          SELECT DISTINCT ON (n.node_id) n.node_id, upper(n.state::text) AS state
          FROM workflow_runs r JOIN node_executions n ON n.workflow_run_id = r.id
          WHERE r.job_id = of_job AND n.node_id = ANY(needed) AND (r.id = of_run OR n.state = 'completed')
          ORDER BY n.node_id, r.id = of_run DESC, n.sequence DESC
        ) AS latest
      ) END AS states
    FROM json_to_recordset(${recordset(asked)}) AS asked(of_run uuid, of_job uuid, names text[], needed text[])
    LEFT JOIN LATERAL (
      SELECT ${NODE_COLUMNS} FROM node_executions
      WHERE workflow_run_id = of_run AND node_id = ANY(names) AND finished_at IS NULL
    ) AS open ON true`;
  const known = new Map<string, KnownNodes & { readonly open: NodeExecution[] }>();
  for (const row of rows) {
    const { runId, lastSequence, hasOtherOpen, states } = row;
    const ofRun = known.get(runId) ?? {
      lastSequence,
      hasOtherOpen,
      states: new Map(Object.entries(states ?? {})),
      open: [],
    };
    if (row.id !== null) ofRun.open.push(row);
    known.set(runId, ofRun);
  }
  return known;
}

/** @returns the CTEs that write what the steps of reports make of their runs' nodes, for the statement of `writeVersions`. */
export function writeNodesCte(plans: readonly StepPlan[]): ExtraCte[] {
  const opened = plans.flatMap((plan) => plan.opened);
  const ended = plans.flatMap((plan) => plan.ended);
  return [
    ...(opened.length === 0
      ? []
      : [Prisma.sql`opened_node AS (INSERT INTO node_executions SELECT * FROM ${nodeRows(opened)})`]),
    ...(ended.length === 0
      ? []
      : [
          Prisma.sql`ended_node AS (
      UPDATE node_executions e SET state = n.state, output_payload = n.output_payload, error_message = n.error_message,
        finished_at = n.finished_at
      FROM ${nodeRows(ended.map(({ inputPayload: _inputPayload, ...outcome }) => outcome))} AS n WHERE e.id = n.id)`,
        ]),
  ];
}

/** Tells who counts, after the commit, how long the steps of a report took that have ended. */
export function observeSteps(tx: Transaction, jobKind: JobKind, { opened, ended }: StepPlan): void {
  afterCommit(tx, ({ observer }) => {
    if (!observer) return;
    for (const { state, startedAt, finishedAt } of [...opened, ...ended]) {
      if (finishedAt === null) continue;
      const outcome = state === "COMPLETED" ? "succeeded" : "failed";
      observer.stepEnded({ jobKind, outcome, milliseconds: finishedAt.getTime() - startedAt.getTime() });
    }
  });
}

/** @returns the nodes as a SQL row set with the columns of `node_executions`; missing properties are NULL. */
function nodeRows(nodes: readonly object[]): Prisma.Sql {
  return Prisma.sql`json_populate_recordset(NULL::node_executions, ${toRecordset(nodes)})`;
}

/** @returns the node with this id; undefined when there is none. */
export async function readNode(tx: Transaction, id: string): Promise<NodeExecution | undefined> {
  const [node] = await tx.$queryRaw<NodeExecution[]>`
    SELECT ${NODE_COLUMNS} FROM node_executions WHERE id = ${id}::uuid`;
  return node;
}
