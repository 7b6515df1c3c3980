import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { selectBounded, withinBound } from "../db/document-bound.ts";
import {
  type NodeExecution,
  Prisma,
  type PrismaClient,
  type UserInputRequest,
  type WorkflowRun,
} from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { type JsonValue, NODE_FIELDS, QUESTION_COLUMNS, RUN_COLUMNS, type Run, toDbEnum } from "../db/rows.ts";
import { type Slice, sliceClauses } from "../db/slice.ts";

/** Reads of runs and nodes. Each function reads for many jobs or runs in one statement, for the batched GraphQL loaders. */

/** @returns the runs with these ids, each only from the workspace given with its id; in no particular order. */
export function findRuns(prisma: PrismaClient, items: readonly ScopedId[]): Promise<Run[]> {
  return prisma.$queryRaw<Run[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN workflow_runs ON id = requested_id AND workspace_id = requested_workspace_id`;
}

/**
 * @param holder only nodes of jobs of which this principal holds the lease; left out: all.
 * @returns the nodes with these ids, each only from the workspace given with its id; in no particular order.
 */
export async function findNodes(
  prisma: PrismaClient,
  items: readonly ScopedId[],
  holder?: { readonly principalId: string },
): Promise<NodeExecution[]> {
  const isHeld = holder
    ? Prisma.sql`WHERE EXISTS (
        SELECT FROM workflow_runs own JOIN workflow_runs held ON held.job_id = own.job_id
        WHERE own.id = node_executions.workflow_run_id AND held.state = 'running' AND held.principal_id = ${holder.principalId}
          AND held.lease_expires_at > statement_timestamp())`
    : Prisma.empty;
  const from = Prisma.sql`${scopedIdTable(items)}
    JOIN node_executions ON id = requested_id AND workspace_id = requested_workspace_id ${isHeld}`;
  const nodes = { rows: Prisma.sql`node_executions.*`, from };
  return withinBound(await prisma.$queryRaw<NodeExecution[]>(selectBounded(nodes, NODE_FIELDS, isPayload)));
}

/** Whether a field of a node may be large: 256 KiB, of which a run may have two thousand. */
function isPayload(field: string): boolean {
  return field === "inputPayload" || field === "outputPayload";
}

/** @returns a slice of the runs of each of several jobs; the runs of one job are ordered by `attempt`. */
export function listRunsOf(prisma: PrismaClient, jobs: readonly ScopedId[], slice: Slice<number>): Promise<Run[]> {
  return prisma.$queryRaw<Run[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(jobs)}, LATERAL (
      SELECT * FROM workflow_runs WHERE job_id = requested_id AND workspace_id = requested_workspace_id
      ${sliceClauses(Prisma.sql`attempt`, slice)}) AS run`;
}

/**
 * @param withPayloads whether to read input and output payloads, which may be large.
 * @returns all nodes of several runs, ordered by run and then by `sequence`; a run has at most 1,000.
 */
export async function listNodesOf(
  prisma: PrismaClient,
  runs: readonly ScopedId[],
  withPayloads: boolean,
): Promise<NodeExecution[]> {
  const from = Prisma.sql`${scopedIdTable(runs)}
    JOIN node_executions ON workflow_run_id = requested_id AND workspace_id = requested_workspace_id`;
  const fields = withPayloads ? NODE_FIELDS : NODE_FIELDS.filter((field) => !isPayload(field));
  const orderBy = Prisma.sql`ORDER BY workflow_run_id, sequence`;
  const nodes = { rows: Prisma.sql`node_executions.*`, from, orderAndLimit: orderBy, orderBy };
  return withinBound(await prisma.$queryRaw<NodeExecution[]>(selectBounded(nodes, fields, isPayload)));
}

/** A step that succeeded in an earlier run of a job (section 13). */
export interface CompletedNode {
  /** The run that may go on from it. */
  readonly runId: string;
  readonly workspaceId: string;
  readonly nodeExecutionId: string;
  readonly nodeId: string;
  readonly nodeType: string;
  readonly input: JsonValue;
  readonly output: JsonValue;
  /** Whether there was no room for input and output, which are null then. */
  readonly outputIsLeftOut: boolean;
}

/** The most bytes of inputs and outputs that a run gets with its claim, and that one statement reads for many runs. */
const MAX_COMPLETED_BYTES = { ofRun: 4 * 1024 * 1024, inAll: 32 * 1024 * 1024 };

/**
 * Lists what earlier runs of the jobs of these runs have done: of each step the last execution that succeeded, in the order in which they
 * ended. What is beyond the bounds is left out, and not read.
 */
export function listCompletedBefore(prisma: PrismaClient, runs: readonly ScopedId[]): Promise<CompletedNode[]> {
  return prisma.$queryRaw<CompletedNode[]>`
    WITH completed AS MATERIALIZED (
      SELECT requested_id, earlier.* FROM ${scopedIdTable(runs)}, LATERAL (
        SELECT DISTINCT ON (n.node_id) n.id, n.workspace_id, n.node_id, n.node_type, n.finished_at, r.attempt, n.sequence,
          coalesce(pg_column_size(n.input_payload), 0) + coalesce(pg_column_size(n.output_payload), 0) AS bytes
        FROM workflow_runs own JOIN workflow_runs r ON r.job_id = own.job_id AND r.attempt < own.attempt
          JOIN node_executions n ON n.workflow_run_id = r.id
        WHERE own.id = requested_id AND own.workspace_id = requested_workspace_id AND n.state = 'completed'
        ORDER BY n.node_id, r.attempt DESC, n.sequence DESC
      ) AS earlier
    ), measured AS (
      SELECT *, sum(bytes) OVER (PARTITION BY requested_id ORDER BY attempt, finished_at, sequence ROWS UNBOUNDED PRECEDING)
          > ${MAX_COMPLETED_BYTES.ofRun}
        OR sum(bytes) OVER (ORDER BY requested_id, attempt, finished_at, sequence ROWS UNBOUNDED PRECEDING) > ${MAX_COMPLETED_BYTES.inAll}
        AS is_left_out
      FROM completed
    )
    SELECT requested_id AS "runId", m.workspace_id AS "workspaceId", m.id AS "nodeExecutionId", m.node_id AS "nodeId",
      m.node_type AS "nodeType", is_left_out AS "outputIsLeftOut", n.input_payload AS input, n.output_payload AS output
    FROM measured m LEFT JOIN node_executions n ON n.id = m.id AND NOT is_left_out ORDER BY requested_id, m.attempt, m.finished_at, m.sequence`;
}

/** @returns the outputs of runs, of those that have any. */
export async function findOutputs(
  prisma: PrismaClient,
  items: readonly ScopedId[],
): Promise<Pick<WorkflowRun, "id" | "workspaceId" | "outputs">[]> {
  const from = Prisma.sql`${scopedIdTable(items)}
    JOIN workflow_runs ON id = requested_id AND workspace_id = requested_workspace_id`;
  const runs = { rows: Prisma.sql`workflow_runs.*`, from };
  const fields = ["id", "workspaceId", "outputs"];
  return withinBound(
    await prisma.$queryRaw<Pick<WorkflowRun, "id" | "workspaceId" | "outputs">[]>(
      selectBounded(runs, fields, (field) => field === "outputs"),
    ),
  );
}

/** @returns the questions of runs, of those that asked one. */
export function findQuestions(prisma: PrismaClient, items: readonly ScopedId[]): Promise<UserInputRequest[]> {
  return prisma.$queryRaw<UserInputRequest[]>`
    SELECT ${QUESTION_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN user_input_requests ON workflow_run_id = requested_id AND workspace_id = requested_workspace_id`;
}

/** Selects runs: all given conditions must hold. A field that is null or left out is no condition. */
export interface RunFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly workerId?: string | null | undefined;
  /** Only runs whose lease ends earlier than this; a run without a lease does not match. */
  readonly leaseExpiresBefore?: Date | null | undefined;
}

/**
 * Lists a workspace's runs that match a filter, newest first. Their ids are UUIDv7, and so sort by the time of the claim.
 * @returns the runs of the slice; oldest first where the slice counts from the end.
 */
export function listRuns(
  prisma: PrismaClient,
  workspaceId: string,
  { states, workerId, leaseExpiresBefore }: RunFilter,
  { limit, after, before, fromEnd }: Slice<string>,
): Promise<Run[]> {
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(states == null ? [] : [inStates(states)]),
    ...(workerId == null ? [] : [Prisma.sql`worker_id = ${workerId}`]),
    // Only running runs have a lease. Said here, because the index of leases has only these.
    ...(leaseExpiresBefore == null ? [] : [Prisma.sql`state = 'running' AND lease_expires_at < ${leaseExpiresBefore}`]),
    ...(after === undefined ? [] : [Prisma.sql`id < ${after}::uuid`]),
    ...(before === undefined ? [] : [Prisma.sql`id > ${before}::uuid`]),
  ];
  return prisma.$queryRaw<Run[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE ${Prisma.join(conditions, " AND ")}
    ORDER BY id ${fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`} LIMIT ${limit}`;
}

/** Written out, not as a parameter: PostgreSQL uses the index of running runs only where it knows that no other state is asked. */
function inStates(states: readonly JobState[]): Prisma.Sql {
  const distinct = [...new Set(states)].map((state) => Prisma.raw(`'${toDbEnum(state)}'`));
  return distinct.length === 0 ? Prisma.sql`false` : Prisma.sql`state IN (${Prisma.join(distinct)})`;
}
