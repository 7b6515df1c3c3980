import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { type NodeExecution, Prisma, type PrismaClient, type WorkflowRun } from "../db/generated/client/client.ts";
import { NODE_COLUMNS, NODE_COLUMNS_WITHOUT_PAYLOADS, RUN_COLUMNS } from "../db/rows.ts";
import { type Slice, sliceClauses } from "../db/slice.ts";

/** Reads of runs and nodes. Each function reads for many jobs or runs in one statement, for the batched GraphQL loaders. */

/** @returns the runs with these ids, each only from the workspace given with its id; in no particular order. */
export function findRuns(prisma: PrismaClient, items: readonly ScopedId[]): Promise<WorkflowRun[]> {
  return prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN workflow_runs ON id = requested_id AND workspace_id = requested_workspace_id`;
}

/** @returns the nodes with these ids, each only from the workspace given with its id; in no particular order. */
export function findNodes(prisma: PrismaClient, items: readonly ScopedId[]): Promise<NodeExecution[]> {
  return prisma.$queryRaw<NodeExecution[]>`
    SELECT ${NODE_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN node_executions ON id = requested_id AND workspace_id = requested_workspace_id`;
}

/** @returns a slice of the runs of each of several jobs; the runs of one job are ordered by `attempt`. */
export function listRunsOf(
  prisma: PrismaClient,
  jobs: readonly ScopedId[],
  slice: Slice<number>,
): Promise<WorkflowRun[]> {
  return prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(jobs)}, LATERAL (
      SELECT * FROM workflow_runs WHERE job_id = requested_id AND workspace_id = requested_workspace_id
      ${sliceClauses(Prisma.sql`attempt`, slice)}) AS run`;
}

/**
 * @param withPayloads whether to read input and output payloads, which may be large.
 * @returns all nodes of several runs, ordered by run and then by `sequence`; a run has at most 1,000.
 */
export function listNodesOf(
  prisma: PrismaClient,
  runs: readonly ScopedId[],
  withPayloads: boolean,
): Promise<NodeExecution[]> {
  const columns = withPayloads ? NODE_COLUMNS : NODE_COLUMNS_WITHOUT_PAYLOADS;
  return prisma.$queryRaw<NodeExecution[]>`
    SELECT ${columns} FROM ${scopedIdTable(runs)}
    JOIN node_executions ON workflow_run_id = requested_id AND workspace_id = requested_workspace_id
    ORDER BY workflow_run_id, sequence`;
}
