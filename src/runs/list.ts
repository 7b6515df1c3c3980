import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { type NodeExecution, Prisma, type PrismaClient, type WorkflowRun } from "../db/generated/client/client.ts";
import { NODE_COLUMNS, NODE_COLUMNS_WITHOUT_PAYLOADS, RUN_COLUMNS } from "../db/rows.ts";
import { type Slice, sliceClauses } from "../db/slice.ts";

/** Reads of runs and their nodes, for many jobs or runs in one statement. */

/** Runs by their ids, each of the workspace that it is asked for in. */
export function findRuns(prisma: PrismaClient, items: readonly ScopedId[]): Promise<WorkflowRun[]> {
  return prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN workflow_runs ON id = asked_id AND workspace_id = asked_workspace_id`;
}

/** Nodes by their ids, each of the workspace that it is asked for in. */
export function findNodes(prisma: PrismaClient, items: readonly ScopedId[]): Promise<NodeExecution[]> {
  return prisma.$queryRaw<NodeExecution[]>`
    SELECT ${NODE_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN node_executions ON id = asked_id AND workspace_id = asked_workspace_id`;
}

/** Part of the runs of several jobs, those of a job in the order of their attempts. */
export function listRunsOf(
  prisma: PrismaClient,
  jobs: readonly ScopedId[],
  slice: Slice<number>,
): Promise<WorkflowRun[]> {
  return prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(jobs)}, LATERAL (
      SELECT * FROM workflow_runs WHERE job_id = asked_id AND workspace_id = asked_workspace_id
      ${sliceClauses(Prisma.sql`attempt`, slice)}) AS run`;
}

/** All nodes of several runs, those of a run in the order of their sequences; a run has at most 1,000. */
export function listNodesOf(
  prisma: PrismaClient,
  runs: readonly ScopedId[],
  withPayloads: boolean,
): Promise<NodeExecution[]> {
  const columns = withPayloads ? NODE_COLUMNS : NODE_COLUMNS_WITHOUT_PAYLOADS;
  return prisma.$queryRaw<NodeExecution[]>`
    SELECT ${columns} FROM ${scopedIdTable(runs)}
    JOIN node_executions ON workflow_run_id = asked_id AND workspace_id = asked_workspace_id
    ORDER BY workflow_run_id, sequence`;
}
