import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { selectBounded, withinBound } from "../db/document-bound.ts";
import { type NodeExecution, Prisma, type PrismaClient, type WorkflowRun } from "../db/generated/client/client.ts";
import type { JobState } from "../db/generated/client/enums.ts";
import { NODE_FIELDS, RUN_COLUMNS, toDbEnum } from "../db/rows.ts";
import { type Slice, sliceClauses } from "../db/slice.ts";

/** Reads of runs and nodes. Each function reads for many jobs or runs in one statement, for the batched GraphQL loaders. */

/** @returns the runs with these ids, each only from the workspace given with its id; in no particular order. */
export function findRuns(prisma: PrismaClient, items: readonly ScopedId[]): Promise<WorkflowRun[]> {
  return prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM ${scopedIdTable(items)}
    JOIN workflow_runs ON id = requested_id AND workspace_id = requested_workspace_id`;
}

/** @returns the nodes with these ids, each only from the workspace given with its id; in no particular order. */
export async function findNodes(prisma: PrismaClient, items: readonly ScopedId[]): Promise<NodeExecution[]> {
  const from = Prisma.sql`${scopedIdTable(items)}
    JOIN node_executions ON id = requested_id AND workspace_id = requested_workspace_id`;
  const nodes = { rows: Prisma.sql`node_executions.*`, from };
  return withinBound(await prisma.$queryRaw<NodeExecution[]>(selectBounded(nodes, NODE_FIELDS, isPayload)));
}

/** Whether a field of a node may be large: 256 KiB, of which a run may have two thousand. */
function isPayload(field: string): boolean {
  return field === "inputPayload" || field === "outputPayload";
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
): Promise<WorkflowRun[]> {
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(states == null ? [] : [inStates(states)]),
    ...(workerId == null ? [] : [Prisma.sql`worker_id = ${workerId}`]),
    // Only running runs have a lease. Said here, because the index of leases has only these.
    ...(leaseExpiresBefore == null ? [] : [Prisma.sql`state = 'running' AND lease_expires_at < ${leaseExpiresBefore}`]),
    ...(after === undefined ? [] : [Prisma.sql`id < ${after}::uuid`]),
    ...(before === undefined ? [] : [Prisma.sql`id > ${before}::uuid`]),
  ];
  return prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE ${Prisma.join(conditions, " AND ")}
    ORDER BY id ${fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`} LIMIT ${limit}`;
}

/** Written out, not as a parameter: PostgreSQL uses the index of running runs only where it knows that no other state is asked. */
function inStates(states: readonly JobState[]): Prisma.Sql {
  const distinct = [...new Set(states)].map((state) => Prisma.raw(`'${toDbEnum(state)}'`));
  return distinct.length === 0 ? Prisma.sql`false` : Prisma.sql`state IN (${Prisma.join(distinct)})`;
}
