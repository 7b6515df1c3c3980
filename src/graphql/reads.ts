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
import type { Slice } from "../db/slice.ts";
import { type ActionCounts, countItems, listItemsOf } from "../jobs/bulk/items.ts";
import type { JobFilter } from "../jobs/filter.ts";
import { countJobs, findJobs, type JobKey, listJobs } from "../jobs/list.ts";
import type { FeedBatch } from "../live/subscriber.ts";
import { type EventFilter, type EventKey, listEvents, listEventsOfJobs } from "../log/list.ts";
import { findNodes, findRuns, listNodesOf, listRunsOf } from "../runs/list.ts";

/** The reads of one server: its operations share statements (db/batched-read.ts). */

/** Reads by an id, in its own workspace. */
export interface ReadsById {
  /** The job of this id, with these columns. */
  readonly job: BatchedRead<readonly JobField[], Job>;
  readonly run: BatchedRead<void, Run>;
  readonly node: BatchedRead<void, Node>;
  /** Part of the runs of the job of this id, in the order of their attempts. */
  readonly runsOfJob: BatchedRead<Slice<number>, Run>;
  /** Part of the events of the job of this id, in the order of their versions. */
  readonly eventsOfJob: BatchedRead<Slice<number>, RecorderEvent>;
  /** The nodes of the run of this id, in their order; with or without their payloads. */
  readonly nodesOfRun: BatchedRead<{ readonly withPayloads: boolean }, Node>;
  readonly countsOfBulkAction: BatchedRead<void, ActionCounts>;
  readonly itemsOfBulkAction: BatchedRead<void, BulkActionItem>;
}

/** Reads of lists: equal ones of one turn share. */
export interface ListReads {
  jobs(list: ListOf<JobFilter> & SliceOf<JobKey> & { readonly fields: readonly JobField[] }): Promise<readonly Job[]>;
  jobCount(list: ListOf<JobFilter>): Promise<number>;
  events(list: ListOf<EventFilter> & SliceOf<EventKey>): Promise<readonly RecorderEvent[]>;
}

interface ListOf<Filter> {
  readonly workspaceId: string;
  readonly filter: Filter;
}

interface SliceOf<Key> {
  readonly slice: Slice<Key>;
}

export function createReadsById(prisma: PrismaClient): ReadsById {
  return {
    job: batchReads((ids, fields) => findJobs(prisma, ids, fields), ofJob),
    run: batchReads((ids) => findRuns(prisma, ids), itself),
    node: batchReads((ids) => findNodes(prisma, ids), itself),
    runsOfJob: batchReads((ids, slice) => listRunsOf(prisma, ids, slice), ofJob),
    eventsOfJob: batchReads((ids, slice) => listEventsOfJobs(prisma, ids, slice), ofJob),
    nodesOfRun: batchReads(
      (ids, { withPayloads }) => listNodesOf(prisma, ids, withPayloads),
      ({ workspaceId, workflowRunId }) => ({ workspaceId, id: workflowRunId }),
    ),
    countsOfBulkAction: batchReads((ids) => countItems(prisma, ids), ofBulkAction),
    itemsOfBulkAction: batchReads((ids) => listItemsOf(prisma, ids), ofBulkAction),
  };
}

export function createListReads(prisma: PrismaClient): ListReads {
  return {
    jobs: batchEqualReads(async ({ workspaceId, filter, slice, fields }) =>
      freezeRows(await listJobs(prisma, workspaceId, filter, slice, fields)),
    ),
    jobCount: batchEqualReads(({ workspaceId, filter }) => countJobs(prisma, workspaceId, filter)),
    events: batchEqualReads(async ({ workspaceId, filter, slice }) =>
      freezeRows(await listEvents(prisma, workspaceId, filter, slice)),
    ),
  };
}

/** Long enough for every subscriber that keeps up; what was read may be large, and must not wait for the others. */
const KEPT_MS = 3000;

/** What the subscribers of a batch of events share. */
interface BatchReads {
  readonly reads: ReadsById;
  /** The selections of columns with which all jobs of the batch have been asked for. */
  readonly readAhead: Set<string>;
}

/**
 * Reads of subscribers. What they select beyond an event is read once for all of them, though each of them comes to it in
 * its own time: these reads remember, for as long as most of them need. What they give may be newer than the event, and
 * is never older.
 */
export class SharedReads {
  readonly #reads: ReadsById;
  readonly #byBatch = new WeakMap<FeedBatch, BatchReads>();

  constructor(reads: ReadsById) {
    this.#reads = reads;
  }

  /** Those of all events that were read in this batch. */
  of(batch: FeedBatch): ReadsById {
    return this.#of(batch).reads;
  }

  /**
   * Asks for all jobs of a batch, where nobody has with these columns: in one statement, where each subscriber would ask
   * for one after the other as it sends them.
   */
  readAhead(batch: FeedBatch, fields: readonly JobField[]): void {
    const { reads, readAhead } = this.#of(batch);
    const key = fields.join();
    if (readAhead.has(key)) return;
    readAhead.add(key);
    // One that cannot be read is missed, with its error, by whoever sends it.
    for (const id of batch.jobs) reads.job(id, fields).catch(() => undefined);
  }

  #of(batch: FeedBatch): BatchReads {
    const known = this.#byBatch.get(batch);
    if (known) return known;
    const shared = { reads: remembering(this.#reads), readAhead: new Set<string>() };
    this.#byBatch.set(batch, shared);
    setTimeout(() => this.#byBatch.delete(batch), KEPT_MS).unref();
    return shared;
  }
}

function remembering(reads: ReadsById): ReadsById {
  return {
    job: rememberReads(reads.job),
    run: rememberReads(reads.run),
    node: rememberReads(reads.node),
    runsOfJob: rememberReads(reads.runsOfJob),
    eventsOfJob: rememberReads(reads.eventsOfJob),
    nodesOfRun: rememberReads(reads.nodesOfRun),
    countsOfBulkAction: rememberReads(reads.countsOfBulkAction),
    itemsOfBulkAction: rememberReads(reads.itemsOfBulkAction),
  };
}

/** The row that a global id stands for; null where there is none. A copy, on which the schema builder notes its type. */
export function toNode<Row extends object>([row]: readonly Row[]): Row | null {
  return row ? { ...row } : null;
}

function itself({ workspaceId, id }: { readonly workspaceId: string; readonly id: string }) {
  return { workspaceId, id };
}

function ofJob({ workspaceId, jobId }: { readonly workspaceId: string; readonly jobId: string }) {
  return { workspaceId, id: jobId };
}

function ofBulkAction({ workspaceId, bulkActionId }: { readonly workspaceId: string; readonly bulkActionId: string }) {
  return { workspaceId, id: bulkActionId };
}
