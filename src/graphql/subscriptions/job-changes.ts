import type { FlightRecorderEvent as Event, AiJob as Job } from "../../db/generated/client/client.ts";
import type { JobState } from "../../db/generated/client/enums.ts";
import type { JobField } from "../../db/job-columns.ts";
import type { JobMetrics } from "../../db/metrics.ts";
import { NotFoundError } from "../../errors.ts";
import { type JobFilter, matcherOf } from "../../jobs/filter.ts";
import type { FeedItem, Subscriber } from "../../live/subscriber.ts";
import { comparePositions, encodeCursor, type LogPosition, MAX_DELIVERED_AHEAD } from "../../log/cursor.ts";
import type { GraphQLContext } from "../context.ts";
import type { ReadsById } from "../reads.ts";
import { referencedRow } from "../types/relations.ts";
import type { WatchRight } from "./watch-rule.ts";

/** What subscribers are told: snapshots, then what the feed brings, without a seam (section 10). */

export interface Change {
  readonly kind: "SNAPSHOT" | "EVENT";
  readonly cursor: string;
  readonly version: number;
  readonly state: JobState;
  readonly previousState: JobState | null;
  readonly metrics: JobMetrics;
  readonly matchesFilter: boolean;
  readonly event: Event | null;
  /** Read when it is asked for. */
  readonly job: () => Job | Promise<Job>;
}

/** What a subscription is about, beside its operation's context. */
export interface ChangeStream {
  readonly context: GraphQLContext;
  readonly right: WatchRight;
  /** The columns of a job that its selection needs. */
  readonly fields: readonly JobField[];
  /** Where it goes on; undefined where it begins with snapshots. */
  readonly from: LogPosition | undefined;
  /** What was told of jobs beyond there. */
  readonly deliveredAhead: readonly LogPosition[];
}

/** Snapshots that a subscription of many jobs begins with, at most. */
const SNAPSHOTS = MAX_DELIVERED_AHEAD;
/** What a snapshot tells by itself. The metrics come with them where the selection has any. */
const PLACE = ["jobId", "workspaceId", "version", "state", "orderXid", "createdAt"] as const;
/** Columns that may be megabytes. */
const DOCUMENTS: ReadonlySet<JobField> = new Set<JobField>(["jobInputs", "jobOutputs"]);

/**
 * Changes of one job. Subscribed first, the snapshot read second: what commits in between is in the stream, and passed
 * over where the snapshot holds it already.
 * @throws NotFoundError where the viewer's workspace has no such job.
 */
export async function changesOfJob(watching: ChangeStream, jobId: string): Promise<AsyncIterableIterator<Change>> {
  const { context, fields, from, deliveredAhead: held } = watching;
  const { feed, reads, viewer } = context;
  const epoch = await feed.epoch();
  const subscriber = await feed.subscribe({ workspaceId: viewer.workspaceId, jobId }, from);
  try {
    const columns = from ? PLACE : [...new Set([...PLACE, ...fields])];
    const [job] = await reads.job({ workspaceId: viewer.workspaceId, id: jobId }, columns);
    if (!job) throw new NotFoundError("job");
    if (!from) subscriber.skipTo(job);
    for (const place of held) if (place.jobId === jobId) subscriber.skipTo(place);
    const snapshots = from ? [] : [snapshot(encodeCursor(epoch, job), job, () => job)];
    return stream(
      watching,
      (place) => encodeCursor(epoch, place),
      subscriber,
      snapshots,
      () => true,
    );
  } catch (error) {
    subscriber.end();
    throw error;
  }
}

/** Changes of every job that matches, and, once, of one that matches no more. */
export async function changesOfJobs(watching: ChangeStream, filter: JobFilter): Promise<AsyncIterableIterator<Change>> {
  const { context, from } = watching;
  const { feed, viewer } = context;
  const epoch = await feed.epoch();
  /** The last version of a job that has been told already, though it be beyond the place where the stream begins. */
  const told = new Map(watching.deliveredAhead.map(({ jobId, version }) => [jobId, version]));
  const matches = matcherOf(filter);
  const matchesNow = ({ job, event }: FeedItem) => matches(job, event.state);
  const matchedBefore = ({ job, event: { previousState } }: FeedItem) =>
    previousState !== null && matches(job, previousState);
  const wants = (item: FeedItem) =>
    (matchesNow(item) || matchedBefore(item)) && item.event.version > (told.get(item.event.jobId) ?? 0);
  const subscriber = await feed.subscribe({ workspaceId: viewer.workspaceId, matches: wants }, from);
  try {
    // What is below the horizon has committed, so the list that is read now holds it: the live stream may be a little
    // behind, and whoever goes on from a snapshot must not be told again what it held.
    if (!from) subscriber.skipTo(await feed.watermark());
    const jobs = from ? [] : await listed(watching, filter);
    for (const { jobId, version } of jobs) told.set(jobId, version);
    // Every snapshot carries the place where the stream begins, and what up to it was told of beyond: whoever goes on
    // from any of them misses no event, and is told none again.
    const start = subscriber.position;
    let ahead = [...watching.deliveredAhead];
    const snapshots = jobs.map((job) => {
      const { orderXid, jobId, version } = job;
      if (comparePositions(job, start) > 0) ahead.push({ orderXid, jobId, version });
      return snapshot(encodeCursor(epoch, start, ahead), job, () => ofSnapshot(watching, job));
    });
    const cursorAt = (place: LogPosition) => {
      if (ahead.length > 0) ahead = ahead.filter((other) => comparePositions(other, place) > 0);
      return encodeCursor(epoch, place, ahead);
    };
    return stream(watching, cursorAt, subscriber, snapshots, matchesNow);
  } catch (error) {
    subscriber.end();
    throw error;
  }
}

/**
 * The snapshots, then what the subscriber gets. Its client may go while it waits for an event: a generator would hear
 * of that only when its wait is over, so this is none.
 */
function stream(
  { context, right, fields }: ChangeStream,
  cursorAt: (place: LogPosition) => string,
  subscriber: Subscriber,
  snapshots: Change[],
  matches: (item: FeedItem) => boolean,
): AsyncIterableIterator<Change> {
  const { delivery, feed, sharedReads } = context;
  const stopWaiting = right.onEnd((reason) => subscriber.end(reason));
  const leave = () => {
    stopWaiting();
    subscriber.end();
  };
  const next = async (): Promise<IteratorResult<Change, undefined>> => {
    const first = subscriber.hasEnded ? undefined : snapshots.shift();
    if (first) {
      // Only the last one leaves nothing behind for whoever goes on from it.
      if (snapshots.length === 0) delivery.cursor = first.cursor;
      return { value: first, done: false };
    }
    const { value: item } = await subscriber.next();
    if (!item) {
      leave();
      delivery.interrupted = feed.isClosed;
      if (snapshots.length === 0) delivery.cursor = cursorAt(subscriber.position);
      return { value: undefined, done: true };
    }
    const cursor = cursorAt(item.event);
    delivery.cursor = cursor;
    context.reads = sharedReads.of(item.batch);
    return { value: change(cursor, item, matches(item), () => ofEvent(context, fields, item)), done: false };
  };
  return {
    next: () =>
      next().catch((error: unknown) => {
        leave();
        throw error;
      }),
    return: async () => {
      leave();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** The newest jobs that match. Documents of a hundred jobs are not kept for a client that may not read: they come later. */
function listed({ context, fields }: ChangeStream, filter: JobFilter): Promise<readonly Job[]> {
  const { lists, viewer } = context;
  const columns = [...new Set([...PLACE, ...fields])].filter((field) => !DOCUMENTS.has(field));
  const slice = { limit: SNAPSHOTS, fromEnd: false };
  return lists.jobs({ workspaceId: viewer.workspaceId, filter, slice, fields: columns });
}

function ofSnapshot({ context, fields }: ChangeStream, job: Job): Job | Promise<Job> {
  return hasDocuments(fields) ? readJob(context.reads, fields, job) : job;
}

/** Jobs of one batch are read together, but for documents: those are read one by one, as they are sent. */
function ofEvent({ sharedReads }: GraphQLContext, fields: readonly JobField[], item: FeedItem): Promise<Job> {
  if (!hasDocuments(fields)) sharedReads.readAhead(item.batch, fields);
  return readJob(sharedReads.of(item.batch), fields, item.event);
}

function hasDocuments(fields: readonly JobField[]): boolean {
  return fields.some((field) => DOCUMENTS.has(field));
}

async function readJob(
  reads: ReadsById,
  fields: readonly JobField[],
  { workspaceId, jobId: id }: Pick<Job, "workspaceId" | "jobId">,
): Promise<Job> {
  return referencedRow(await reads.job({ workspaceId, id }, fields));
}

function snapshot(cursor: string, row: Job, job: Change["job"]): Change {
  const { version, state } = row;
  return {
    kind: "SNAPSHOT",
    cursor,
    version,
    state,
    previousState: null,
    metrics: row,
    matchesFilter: true,
    event: null,
    job,
  };
}

function change(cursor: string, { event }: FeedItem, matchesFilter: boolean, job: Change["job"]): Change {
  const { version, state, previousState } = event;
  return { kind: "EVENT", cursor, version, state, previousState, metrics: event, matchesFilter, event, job };
}
