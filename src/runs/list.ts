import { type NodeExecution, Prisma, type PrismaClient, type WorkflowRun } from "../db/generated/client/client.ts";
import { NODE_COLUMNS, NODE_COLUMNS_WITHOUT_PAYLOADS, RUN_COLUMNS } from "../db/rows.ts";
import { groupBy, type Slice, sliceClauses } from "../db/slice.ts";

/** Reads of runs and their nodes, for many jobs or runs in one statement. */

/** Runs by their ids. */
export async function findRuns(
  prisma: PrismaClient,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, WorkflowRun>> {
  const rows = await prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE id = ANY(${runIds}::uuid[])`;
  return new Map(rows.map((row) => [row.id, row]));
}

/** Part of the runs of several jobs, in the order of their attempts, in one statement. By job id. */
export async function listRunsOf(
  prisma: PrismaClient,
  jobIds: readonly string[],
  slice: Slice<number>,
): Promise<ReadonlyMap<string, WorkflowRun[]>> {
  const rows = await prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM unnest(${jobIds}::uuid[]) AS parent, LATERAL (
      SELECT * FROM workflow_runs WHERE job_id = parent ${sliceClauses(Prisma.sql`attempt`, slice)}) AS run`;
  return groupBy(rows, ({ jobId }) => jobId);
}

/** All nodes of several runs, in the order of their sequences, in one statement; a run has at most 1,000. By run id. */
export async function listNodesOf(
  prisma: PrismaClient,
  runIds: readonly string[],
  withPayloads: boolean,
): Promise<ReadonlyMap<string, NodeExecution[]>> {
  const columns = withPayloads ? NODE_COLUMNS : NODE_COLUMNS_WITHOUT_PAYLOADS;
  const rows = await prisma.$queryRaw<NodeExecution[]>`
    SELECT ${columns} FROM node_executions WHERE workflow_run_id = ANY(${runIds}::uuid[])
    ORDER BY workflow_run_id, sequence`;
  return groupBy(rows, ({ workflowRunId }) => workflowRunId);
}
