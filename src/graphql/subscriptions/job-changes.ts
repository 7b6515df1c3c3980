import type { FlightRecorderEvent as Event, AiJob as Job } from "../../db/generated/client/client.ts";
import type { JobState } from "../../db/generated/client/enums.ts";
import { isDocumentField, type JobField } from "../../db/job-columns.ts";
import type { JobMetrics } from "../../db/metrics.ts";
import { NotFoundError } from "../../errors.ts";
import { type JobFilter, matcherOf } from "../../jobs/filter.ts";
import { isTerminal } from "../../jobs/state.ts";
import type { FeedItem, Subscriber } from "../../live/subscriber.ts";
import {
  comparePositions,
  encodeCursor,
  type LogPosition,
  MAX_SNAPSHOT_POSITIONS,
  positionOf,
} from "../../log/cursor.ts";
import type { GraphQLContext } from "../context.ts";
import type { ReadsById } from "../reads.ts";
import { referencedRow } from "../types/relations.ts";
import { type StreamRules, streamOf } from "./stream.ts";
import type { WatchRight } from "./watch-rule.ts";

/** What subscribers get: snapshots, then every event that follows, without a gap or a repetition (section 10). */

/** One payload of a subscription. */
export interface Change {
  readonly kind: "SNAPSHOT" | "EVENT";
  readonly cursor: string;
  readonly version: number;
  readonly state: JobState;
  readonly previousState: JobState | null;
  readonly metrics: JobMetrics;
  readonly matchesFilter: boolean;
  readonly event: Event | null;
  /** Reads the job; called only if the operation selects it. */
  readonly job: () => Job | Promise<Job>;
}

/** What a subscription asks for. Its stream of changes is made from this. */
export interface SubscriptionRequest {
  readonly context: GraphQLContext;
  readonly right: WatchRight;
  /** The columns of a job that its selection needs. */
  readonly fields: readonly JobField[];
  /** The position in the log to continue from; undefined to begin with snapshots. */
  readonly from: LogPosition | undefined;
  /** Of the snapshots that the client has already, the positions of those that are newer than `from`. */
  readonly snapshotPositions: readonly LogPosition[];
}

/** The largest number of snapshots with which a subscription to many jobs begins. */
const MAX_SNAPSHOTS = MAX_SNAPSHOT_POSITIONS;
/** The columns that every snapshot needs. The metrics are read too if the selection has any. */
const SNAPSHOT_FIELDS = ["jobId", "workspaceId", "version", "state", "orderXid", "chainHash", "createdAt"] as const;

/**
 * The changes of one job. It subscribes first and reads the snapshot second, so what commits in between is in the
 * stream; what the snapshot already contains is skipped. In the other order a change in between would be lost.
 * @param untilEnded whether the stream completes after a change to a state that nothing leaves.
 * @returns an iterator; its `return` ends the subscription.
 * @throws NotFoundError where the viewer's workspace has no such job.
 */
export async function changesOfJob(
  subscription: SubscriptionRequest,
  jobId: string,
  untilEnded = false,
): Promise<AsyncIterableIterator<Change>> {
  const { context, fields, from, snapshotPositions } = subscription;
  const { feed, reads, viewer } = context;
  const epoch = await feed.epoch();
  const subscriber = await feed.subscribe({ workspaceId: viewer.workspaceId, jobId }, from);
  try {
    const columns = from ? SNAPSHOT_FIELDS : [...new Set([...SNAPSHOT_FIELDS, ...fields])];
    const [job] = await reads.job({ workspaceId: viewer.workspaceId, id: jobId }, columns);
    if (!job) throw new NotFoundError("job");
    if (!from) subscriber.skipTo(positionOf(job));
    for (const position of snapshotPositions) if (position.jobId === jobId) subscriber.skipTo(position);
    const snapshots = from ? [] : [snapshot(encodeCursor(epoch, positionOf(job)), job, () => job)];
    // Who goes on from a cursor may have been told of the end already: nothing would come after it.
    const knowsAll = from !== undefined && comparePositions(job, subscriber.position) <= 0;
    if (untilEnded && knowsAll && isTerminal(job.state)) subscriber.end();
    return stream(subscription, subscriber, snapshots, {
      cursorAt: (position) => encodeCursor(epoch, position),
      matches: () => true,
      isLast: ({ state }) => untilEnded && isTerminal(state),
    });
  } catch (error) {
    subscriber.end();
    throw error;
  }
}

/**
 * The changes of every job that matches the filter, including the one change with which a job stops matching.
 * @returns an iterator; its `return` ends the subscription.
 */
export async function changesOfJobs(
  subscription: SubscriptionRequest,
  filter: JobFilter,
): Promise<AsyncIterableIterator<Change>> {
  const { context, from } = subscription;
  const { feed, viewer } = context;
  const epoch = await feed.epoch();
  /**
   * By job, the last version that was delivered as a snapshot, which may lie beyond the position where the stream
   * begins.
   */
  const deliveredVersions = new Map(subscription.snapshotPositions.map(({ jobId, version }) => [jobId, version]));
  const matches = matcherOf(filter);
  const matchesNow = ({ job, after }: FeedItem) => matches(job, after);
  const matchedBefore = ({ job, before }: FeedItem) => before !== null && matches(job, before);
  const isNew = ({ event }: FeedItem) => event.version > (deliveredVersions.get(event.jobId) ?? 0);
  const wants = (item: FeedItem) => (matchesNow(item) || matchedBefore(item)) && isNew(item);
  const subscriber = await feed.subscribe({ workspaceId: viewer.workspaceId, matches: wants }, from);
  try {
    // Everything below the watermark has committed, so the list that is read next contains it. The feed may be a little
    // behind the watermark: without skipping, it would deliver events whose result a snapshot has already shown.
    if (!from) subscriber.skipTo(await feed.watermark());
    const jobs = from ? [] : await listSnapshots(subscription, filter);
    for (const { jobId, version } of jobs) deliveredVersions.set(jobId, version);
    // The cursor of a snapshot is the position where the stream begins, and the versions beyond that position that have
    // been delivered up to this snapshot. A client that continues from any snapshot misses no event and gets none
    // twice.
    const start = subscriber.position;
    let snapshotPositions = [...subscription.snapshotPositions];
    const snapshots = jobs.map((job) => {
      if (comparePositions(job, start) > 0) snapshotPositions.push(positionOf(job));
      return snapshot(encodeCursor(epoch, start, snapshotPositions), job, () => jobOfSnapshot(subscription, job));
    });
    const cursorAt = (position: LogPosition) => {
      if (snapshotPositions.length > 0) {
        snapshotPositions = snapshotPositions.filter((other) => comparePositions(other, position) > 0);
      }
      return encodeCursor(epoch, position, snapshotPositions);
    };
    // Looked at again, because an event may have been offered while the list was being read that contains it.
    return stream(subscription, subscriber, snapshots, { cursorAt, matches: matchesNow, isNew });
  } catch (error) {
    subscriber.end();
    throw error;
  }
}

/** What differs between the streams of one job and of many. */
interface ChangeRules extends Pick<StreamRules<Change>, "cursorAt" | "isLast"> {
  /** Whether the job matches the filter after the event. */
  readonly matches: (item: FeedItem) => boolean;
  /** Whether the client does not have the event yet; left out: always. */
  readonly isNew?: (item: FeedItem) => boolean;
}

/** The iterator over the snapshots, then over the subscriber's events. */
function stream(
  { context, right, fields }: SubscriptionRequest,
  subscriber: Subscriber,
  snapshots: Change[],
  { matches, isNew = () => true, ...rules }: ChangeRules,
): AsyncIterableIterator<Change> {
  const { viewer } = context;
  return streamOf(context, right, subscriber, snapshots, {
    ...rules,
    // The subscriber has looked at the workspace. This is the second look, as each row that is read has one (section 11).
    mayBeTold: (item) => item.event.workspaceId === viewer.workspaceId && isNew(item),
    toPayload: (cursor, item) => change(cursor, item, matches(item), () => jobOfEvent(context, fields, item)),
  });
}

/**
 * The newest jobs that match, without their documents. Those are read one by one as the snapshots are sent: the
 * documents of 100 jobs could be hundreds of megabytes, kept in memory for as long as a slow client does not read.
 */
function listSnapshots({ context, fields }: SubscriptionRequest, filter: JobFilter): Promise<readonly Job[]> {
  const { lists, viewer } = context;
  const columns = [...new Set([...SNAPSHOT_FIELDS, ...fields])].filter((field) => !isDocumentField(field));
  const slice = { limit: MAX_SNAPSHOTS, fromEnd: false };
  return lists.jobs({ workspaceId: viewer.workspaceId, filter, slice, fields: columns });
}

function jobOfSnapshot({ context, fields }: SubscriptionRequest, job: Job): Job | Promise<Job> {
  return hasDocuments(fields) ? readJob(context.reads, fields, job) : job;
}

/**
 * The job of an event. All jobs of its batch are read together, unless documents are selected: they may be too large.
 */
function jobOfEvent({ sharedReads }: GraphQLContext, fields: readonly JobField[], item: FeedItem): Promise<Job> {
  if (!hasDocuments(fields)) sharedReads.readAhead(item.batch, fields);
  return readJob(sharedReads.of(item.batch), fields, item.event);
}

function hasDocuments(fields: readonly JobField[]): boolean {
  return fields.some(isDocumentField);
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
