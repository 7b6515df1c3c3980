import { type BatchedRead, rememberReads } from "../db/batched-read.ts";
import type { JobField } from "../db/job-columns.ts";
import { ReadMemory } from "../db/read-memory.ts";
import type { FeedBatch } from "../live/subscriber.ts";
import type { ReadsById } from "./reads.ts";

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
    labelsOfJob: remember(reads.labelsOfJob),
    run: remember(reads.run),
    node: remember(reads.node),
    nodeOfHolder: remember(reads.nodeOfHolder),
    outputsOfRun: remember(reads.outputsOfRun),
    questionOfRun: remember(reads.questionOfRun),
    completedBeforeRun: remember(reads.completedBeforeRun),
    runsOfJob: remember(reads.runsOfJob),
    eventsOfJob: remember(reads.eventsOfJob),
    nodesOfRun: remember(reads.nodesOfRun),
    modelUsageOfJob: remember(reads.modelUsageOfJob),
    modelUsageOfRun: remember(reads.modelUsageOfRun),
    modelUsageOfStep: remember(reads.modelUsageOfStep),
    metricsOfRun: remember(reads.metricsOfRun),
    metricsOfStep: remember(reads.metricsOfStep),
    itemsOfBulkAction: remember(reads.itemsOfBulkAction),
    workspace: remember(reads.workspace),
    usageLabelsOf: remember(reads.usageLabelsOf),
  };
}
