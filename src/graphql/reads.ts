import { type BatchedRead, batchEqualReads, batchReads, freezeRows, rememberReads } from "../db/batched-read.ts";
import type {
  BulkActionItem,
  AiJob as Job,
  NodeExecution as Node,
  PrismaClient,
  FlightRecorderEvent as RecorderEvent,
  WorkflowRun as Run,
} from "../db/generated/client/client.ts";
import type { JobField } from "../db/job-columns.ts";
import { ReadMemory } from "../db/read-memory.ts";
import type { Slice } from "../db/slice.ts";
import { type ActionCounts, countItems, listItemsOf } from "../jobs/bulk/items.ts";
import type { JobFilter } from "../jobs/filter.ts";
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
import type { FeedBatch } from "../live/subscriber.ts";
import { type EventFilter, type EventKey, listEvents, listEventsOfJobs } from "../log/list.ts";
import { findNodes, findRuns, listNodesOf, listRunsOf } from "../runs/list.ts";

/** The reads of one server. Operations that read at the same time share statements (db/batched-read.ts). */

/** Reads by an id. Each id comes with its workspace; a row of another workspace is never an answer. */
export interface ReadsById {
  /** The job with this id, with the columns that are named. */
  readonly job: BatchedRead<readonly JobField[], Job>;
  /** A slice of the job's children, newest first, with the columns that are named. */
  readonly childrenOfJob: BatchedRead<{ readonly slice: Slice<JobKey>; readonly fields: readonly JobField[] }, Job>;
  readonly childCount: BatchedRead<void, ChildCount>;
  readonly jobTimes: BatchedRead<void, JobTimes>;
  readonly run: BatchedRead<void, Run>;
  readonly node: BatchedRead<void, Node>;
  /** A slice of the job's runs, in the order of their attempts. */
  readonly runsOfJob: BatchedRead<Slice<number>, Run>;
  /** A slice of the job's events, in the order of their versions. */
  readonly eventsOfJob: BatchedRead<Slice<number>, RecorderEvent>;
  /** The run's nodes by `sequence`, with or without their payloads. */
  readonly nodesOfRun: BatchedRead<{ readonly withPayloads: boolean }, Node>;
  readonly countsOfBulkAction: BatchedRead<void, ActionCounts>;
  readonly itemsOfBulkAction: BatchedRead<void, BulkActionItem>;
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
    run: batchReads((ids) => findRuns(prisma, ids), ownId),
    node: batchReads((ids) => findNodes(prisma, ids), ownId),
    runsOfJob: batchReads((ids, slice) => listRunsOf(prisma, ids, slice), idOfJob),
    eventsOfJob: batchReads((ids, slice) => listEventsOfJobs(prisma, ids, slice), idOfJob),
    nodesOfRun: batchReads(
      (ids, { withPayloads }) => listNodesOf(prisma, ids, withPayloads),
      ({ workspaceId, workflowRunId }) => ({ workspaceId, id: workflowRunId }),
    ),
    countsOfBulkAction: batchReads((ids) => countItems(prisma, ids), idOfBulkAction),
    itemsOfBulkAction: batchReads((ids) => listItemsOf(prisma, ids), idOfBulkAction),
  };
}

export function createListReads(prisma: PrismaClient): ListReads {
  return {
    jobs: batchEqualReads(async ({ workspaceId, filter, slice, fields, order }) =>
      freezeRows(await listJobs(prisma, workspaceId, filter, slice, fields, order)),
    ),
    jobCount: batchEqualReads(({ workspaceId, filter }) => countJobs(prisma, workspaceId, filter)),
    events: batchEqualReads(async ({ workspaceId, filter, slice }) =>
      freezeRows(await listEvents(prisma, workspaceId, filter, slice)),
    ),
  };
}

/**
 * How long the reads of a batch are remembered. Every subscriber that keeps up comes to the batch within this time.
 * Longer would cost memory for those that do not: what was read may be large.
 */
const REMEMBER_MS = 3000;

/**
 * Bytes of all that is remembered: a few of the largest documents, or what a thousand small jobs of a busy second have. A client
 * chooses what its subscription reads for each event, so time alone is no bound.
 */
const MAX_REMEMBERED_BYTES = 64 * 1024 * 1024;

/** The reads that the subscribers of one batch of events share. */
interface BatchReads {
  readonly reads: ReadsById;
  /** The column lists with which all jobs of the batch have been requested, each joined to one text. */
  readonly requestedFields: Set<string>;
}

/**
 * The reads of subscribers. What subscribers select beyond an event, such as its job, is read once for all of them.
 * They come to the event at different times, so the result is remembered for a while (`REMEMBER_MS`). A result may be
 * newer than the event, and is never older.
 */
export class SharedReads {
  readonly #reads: ReadsById;
  readonly #byBatch = new WeakMap<FeedBatch, BatchReads>();
  readonly #memory: ReadMemory;

  constructor(reads: ReadsById, maxBytes = MAX_REMEMBERED_BYTES) {
    this.#reads = reads;
    this.#memory = new ReadMemory(maxBytes);
  }

  /** The bytes that are remembered. */
  get bytes(): number {
    return this.#memory.bytes;
  }

  /** The reads that all events of this batch share. */
  of(batch: FeedBatch): ReadsById {
    return this.#of(batch).reads;
  }

  /**
   * Requests all jobs of a batch with these columns in one statement, unless that has been done. Without it,
   * subscribers would request the jobs one by one as they send them.
   */
  readAhead(batch: FeedBatch, fields: readonly JobField[]): void {
    const { reads, requestedFields } = this.#of(batch);
    const key = fields.join();
    if (requestedFields.has(key)) return;
    requestedFields.add(key);
    // The error is ignored here only: the subscriber that sends the job awaits the same promise and gets it.
    for (const id of batch.jobs) reads.job(id, fields).catch(() => undefined);
  }

  #of(batch: FeedBatch): BatchReads {
    const known = this.#byBatch.get(batch);
    if (known) return known;
    const kept: object[] = [];
    let isOver = false;
    const reads = withMemory(this.#reads, this.#memory, (key) => {
      if (isOver) this.#memory.release(key);
      else kept.push(key);
    });
    const shared = { reads, requestedFields: new Set<string>() };
    this.#byBatch.set(batch, shared);
    setTimeout(() => {
      this.#byBatch.delete(batch);
      // A subscriber keeps the reads of its last event until the next one; not their rows.
      isOver = true;
      for (const key of kept) this.#memory.release(key);
    }, REMEMBER_MS).unref();
    return shared;
  }
}

function withMemory(reads: ReadsById, memory: ReadMemory, onKept: (key: object) => void): ReadsById {
  const remember = <Params, Row>(read: BatchedRead<Params, Row>) => rememberReads(read, memory, onKept);
  return {
    job: remember(reads.job),
    childrenOfJob: remember(reads.childrenOfJob),
    childCount: remember(reads.childCount),
    jobTimes: remember(reads.jobTimes),
    run: remember(reads.run),
    node: remember(reads.node),
    runsOfJob: remember(reads.runsOfJob),
    eventsOfJob: remember(reads.eventsOfJob),
    nodesOfRun: remember(reads.nodesOfRun),
    countsOfBulkAction: remember(reads.countsOfBulkAction),
    itemsOfBulkAction: remember(reads.itemsOfBulkAction),
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

function idOfBulkAction({
  workspaceId,
  bulkActionId,
}: {
  readonly workspaceId: string;
  readonly bulkActionId: string;
}) {
  return { workspaceId, id: bulkActionId };
}
