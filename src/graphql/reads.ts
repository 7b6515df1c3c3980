import { type BatchedRead, batchEqualReads, batchReads, freezeRows } from "../db/batched-read.ts";
import type {
  BulkActionItem,
  AiJob as Job,
  NodeExecution as Node,
  PrismaClient,
  FlightRecorderEvent as RecorderEvent,
  UsageLabel,
  UserInputRequest,
  Workspace,
} from "../db/generated/client/client.ts";
import type { JobField } from "../db/job-columns.ts";
import type { Run } from "../db/rows.ts";
import { within } from "../db/scope.ts";
import type { Slice } from "../db/slice.ts";
import { findWorkspaces } from "../identity/workspaces.ts";
import { type ItemSlice, listItemsOf } from "../jobs/bulk/items.ts";
import type { JobFilter } from "../jobs/filter.ts";
import { type LabelOfJob, listLabelsOf } from "../jobs/labels.ts";
import {
  type ChildCount,
  countChildrenOf,
  countJobs,
  findJobs,
  type JobKey,
  type JobOrder,
  listChildrenOf,
  listJobs,
} from "../jobs/list.ts";
import { type JobTimes, readJobTimes } from "../jobs/times.ts";
import {
  listModelUsage,
  listModelUsageOfSteps,
  type MetricsOf,
  readMetricsOfRuns,
  readMetricsOfSteps,
  type UsageOfModel,
} from "../jobs/usage/read.ts";
import { type EventFilter, type EventKey, listEvents, listEventsOfJobs } from "../log/list.ts";
import {
  type CompletedNode,
  findNodes,
  findOutputs,
  findQuestions,
  findRuns,
  listCompletedBefore,
  listNodesOf,
  listRunsOf,
} from "../runs/list.ts";
import { listUsageLabels } from "../totals/usage-labels.ts";

/** The reads of one server. Operations that read at the same time share statements (db/batched-read.ts). */

/** Reads by an id. Each id comes with its workspace; a row of another workspace is never an answer. */
export interface ReadsById {
  /** The job with this id, with the columns that are named. */
  readonly job: BatchedRead<readonly JobField[], Job>;
  /** A slice of the job's children, newest first, with the columns that are named. */
  readonly childrenOfJob: BatchedRead<{ readonly slice: Slice<JobKey>; readonly fields: readonly JobField[] }, Job>;
  readonly childCount: BatchedRead<void, ChildCount>;
  readonly jobTimes: BatchedRead<void, JobTimes>;
  /** The job's labels, by key. */
  readonly labelsOfJob: BatchedRead<void, LabelOfJob>;
  readonly run: BatchedRead<void, Run>;
  readonly node: BatchedRead<void, Node>;
  /** The same, of a job of which the principal holds the lease. */
  readonly nodeOfHolder: BatchedRead<{ readonly principalId: string }, Node>;
  /** The run's outputs, if it has any. */
  readonly outputsOfRun: BatchedRead<void, Awaited<ReturnType<typeof findOutputs>>[number]>;
  /** The question that the run asked, if any. */
  readonly questionOfRun: BatchedRead<void, UserInputRequest>;
  /** What earlier runs of the run's job have done. */
  readonly completedBeforeRun: BatchedRead<void, CompletedNode>;
  /** A slice of the job's runs, in the order of their attempts. */
  readonly runsOfJob: BatchedRead<Slice<number>, Run>;
  /** A slice of the job's events, in the order of their versions. */
  readonly eventsOfJob: BatchedRead<Slice<number>, RecorderEvent>;
  /** The run's nodes by `sequence`, with or without their payloads. */
  readonly nodesOfRun: BatchedRead<{ readonly withPayloads: boolean }, Node>;
  /** What calls of models have used, by model. */
  readonly modelUsageOfJob: BatchedRead<void, UsageOfModel>;
  readonly modelUsageOfRun: BatchedRead<void, UsageOfModel>;
  readonly modelUsageOfStep: BatchedRead<void, UsageOfModel>;
  readonly metricsOfRun: BatchedRead<void, MetricsOf>;
  readonly metricsOfStep: BatchedRead<void, MetricsOf>;
  /** A slice of the action's items, by position. */
  readonly itemsOfBulkAction: BatchedRead<ItemSlice, BulkActionItem>;
  /** The workspace with this id, which is also the workspace that the id comes with. */
  readonly workspace: BatchedRead<void, Workspace>;
  /** The labels by which the workspace counts its usage, in the order of its list. */
  readonly usageLabelsOf: BatchedRead<void, UsageLabel>;
}

/** Reads of lists. Equal reads of one tick of the event loop share one statement and its frozen rows. */
export interface ListReads {
  jobs(
    query: Filtered<JobFilter> & Sliced<JobKey> & { readonly fields: readonly JobField[]; readonly order?: JobOrder },
  ): Promise<readonly Job[]>;
  jobCount(query: Filtered<JobFilter>): Promise<number>;
  events(query: Filtered<EventFilter> & Sliced<EventKey>): Promise<readonly RecorderEvent[]>;
}

interface Filtered<Filter> {
  readonly workspaceId: string;
  readonly filter: Filter;
}

interface Sliced<Key> {
  readonly slice: Slice<Key>;
}

/**
 * Each read returns a promise of frozen rows, in the order documented above; it is rejected with the database's error.
 */
export function createReadsById(prisma: PrismaClient): ReadsById {
  return {
    job: batchReads((ids, fields) => findJobs(prisma, ids, fields), idOfJob),
    childrenOfJob: batchReads(
      (ids, { slice, fields }) => listChildrenOf(prisma, ids, slice, fields),
      ({ workspaceId, parentJobId }) => ({ workspaceId, id: parentJobId ?? "" }),
    ),
    childCount: batchReads(
      (ids) => countChildrenOf(prisma, ids),
      ({ workspaceId, parentJobId }) => ({ workspaceId, id: parentJobId }),
    ),
    jobTimes: batchReads((ids) => readJobTimes(prisma, ids), idOfJob),
    labelsOfJob: batchReads((ids) => listLabelsOf(prisma, ids), idOfJob),
    run: batchReads((ids) => findRuns(prisma, ids), ownId),
    node: batchReads((ids) => findNodes(prisma, ids), ownId),
    nodeOfHolder: batchReads((ids, holder) => findNodes(prisma, ids, holder), ownId),
    outputsOfRun: batchReads((ids) => findOutputs(prisma, ids), ownId),
    questionOfRun: batchReads(
      (ids) => findQuestions(prisma, ids),
      ({ workspaceId, workflowRunId }) => ({ workspaceId, id: workflowRunId }),
    ),
    completedBeforeRun: batchReads(
      (ids) => listCompletedBefore(prisma, ids),
      ({ workspaceId, runId }) => ({ workspaceId, id: runId }),
    ),
    runsOfJob: batchReads((ids, slice) => listRunsOf(prisma, ids, slice), idOfJob),
    eventsOfJob: batchReads((ids, slice) => listEventsOfJobs(prisma, ids, slice), idOfJob),
    nodesOfRun: batchReads(
      (ids, { withPayloads }) => listNodesOf(prisma, ids, withPayloads),
      ({ workspaceId, workflowRunId }) => ({ workspaceId, id: workflowRunId }),
    ),
    modelUsageOfJob: batchReads((ids) => listModelUsage(prisma, "job", ids), ownId),
    modelUsageOfRun: batchReads((ids) => listModelUsage(prisma, "run", ids), ownId),
    modelUsageOfStep: batchReads((ids) => listModelUsageOfSteps(prisma, ids), ownId),
    metricsOfRun: batchReads((ids) => readMetricsOfRuns(prisma, ids), ownId),
    metricsOfStep: batchReads((ids) => readMetricsOfSteps(prisma, ids), ownId),
    itemsOfBulkAction: batchReads(
      (ids, items) => listItemsOf(prisma, ids, items),
      ({ workspaceId, bulkActionId }) => ({ workspaceId, id: bulkActionId }),
    ),
    workspace: batchReads(
      (ids) =>
        findWorkspaces(
          prisma,
          ids.map(({ id }) => id),
        ),
      idOfWorkspace,
    ),
    usageLabelsOf: batchReads(
      (ids) =>
        listUsageLabels(
          prisma,
          ids.map(({ id }) => id),
        ),
      idOfWorkspace,
    ),
  };
}

export function createListReads(prisma: PrismaClient): ListReads {
  return {
    jobs: batchEqualReads(({ workspaceId, filter, slice, fields, order }) =>
      within([workspaceId], async () => freezeRows(await listJobs(prisma, workspaceId, filter, slice, fields, order))),
    ),
    jobCount: batchEqualReads(({ workspaceId, filter }) =>
      within([workspaceId], () => countJobs(prisma, workspaceId, filter)),
    ),
    events: batchEqualReads(({ workspaceId, filter, slice }) =>
      within([workspaceId], async () => freezeRows(await listEvents(prisma, workspaceId, filter, slice))),
    ),
  };
}

/**
 * The row that a global id names.
 * @returns a copy, because the schema builder marks the object with its type and rows are frozen; null where there is
 *   none.
 */
export function toNode<Row extends object>([row]: readonly Row[]): Row | null {
  return row ? { ...row } : null;
}

function ownId({ workspaceId, id }: { readonly workspaceId: string; readonly id: string }) {
  return { workspaceId, id };
}

function idOfJob({ workspaceId, jobId }: { readonly workspaceId: string; readonly jobId: string }) {
  return { workspaceId, id: jobId };
}

function idOfWorkspace({ workspaceId }: { readonly workspaceId: string }) {
  return { workspaceId, id: workspaceId };
}
