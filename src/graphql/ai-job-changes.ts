import { NotFoundError } from "../errors.ts";
import { type JobFilter, listJobs } from "../jobs/queries.ts";
import { readJob } from "../recorder/commit.ts";
import { encodeCursor, type LogPosition } from "../recorder/cursor.ts";
import type { FeedItem, Subscriber } from "../recorder/subscriber.ts";
import { JOB_FIELDS, type JobMetrics as Metrics } from "../storage/columns.ts";
import type { FlightRecorderEvent as Event, AiJob as Job } from "../storage/generated/client/client.ts";
import type { JobState } from "../storage/generated/client/enums.ts";
import { AiJob } from "./ai-job.ts";
import { builder } from "./builder.ts";
import type { GraphQLContext } from "./context.ts";
import { AiJobChangeKindEnum, JobStateEnum } from "./enums.ts";
import { FlightRecorderEvent } from "./flight-recorder.ts";
import { AiJobFilter } from "./job-lists.ts";
import { JobMetrics } from "./job-metrics.ts";

interface Change {
  readonly kind: "SNAPSHOT" | "EVENT";
  readonly cursor: string;
  readonly version: number;
  readonly state: JobState;
  readonly previousState: JobState | null;
  readonly metrics: Metrics;
  readonly matchesFilter: boolean;
  readonly event: Event | null;
  readonly job: Job;
}

const AiJobChange = builder.objectRef<Change>("AiJobChange").implement({
  description: "A job as it was when the subscription began, or a change of it (section 10).",
  fields: (t) => ({
    kind: t.expose("kind", { type: AiJobChangeKindEnum, description: "A snapshot or an event." }),
    cursor: t.expose("cursor", { type: "Cursor", description: "Pass it as `after` to go on from here." }),
    version: t.exposeInt("version", { description: "The job's version after the change." }),
    state: t.expose("state", { type: JobStateEnum, description: "The job's state after the change." }),
    previousState: t.expose("previousState", {
      type: JobStateEnum,
      nullable: true,
      description: "The job's state before the change; null for a snapshot and for a job's first event.",
    }),
    metrics: t.expose("metrics", { type: JobMetrics, description: "The job's metrics after the change." }),
    matchesFilter: t.exposeBoolean("matchesFilter", { description: "False once, when a job leaves the filter." }),
    event: t.expose("event", {
      type: FlightRecorderEvent,
      nullable: true,
      description: "The event; null for a snapshot.",
    }),
    job: t.expose("job", { type: AiJob, description: "The job; it may already be newer than the change." }),
  }),
});

/** Snapshots that aiJobsChanged begins with, at most. */
const SNAPSHOTS = 100;

builder.subscriptionField("aiJobChanged", (t) =>
  t.field({
    type: AiJobChange,
    description: "One SNAPSHOT (none where `after` is given), then every EVENT of the job.",
    args: {
      jobId: t.arg({ type: "UUID", required: true, description: "The job." }),
      after: t.arg({ type: "Cursor", description: "Go on after this place, instead of beginning with a snapshot." }),
    },
    subscribe: async (_root, { jobId, after }, context) => {
      const { feed, viewer } = context;
      const from = after == null ? undefined : await feed.locate(after);
      await findJob(context, jobId);
      const subscriber = await feed.subscribe({ workspaceId: viewer.workspaceId, jobId }, from);
      return endedBy(subscriber, changesOfJob(context, jobId, subscriber, from === undefined));
    },
    resolve: (change) => change,
  }),
);

builder.subscriptionField("aiJobsChanged", (t) =>
  t.field({
    type: AiJobChange,
    description:
      "SNAPSHOTs of the newest 100 jobs that match (none where `after` is given), then EVENTs. For longer lists read " +
      "aiJobs { feedCursor } and pass it.",
    args: {
      filter: t.arg({ type: AiJobFilter, description: "Which jobs; all where it is left out." }),
      after: t.arg({ type: "Cursor", description: "Go on after this place, instead of beginning with snapshots." }),
    },
    subscribe: async (_root, { filter, after }, context) => {
      const { feed, viewer } = context;
      const from = after == null ? undefined : await feed.locate(after);
      const subscriber = await feed.subscribe({ workspaceId: viewer.workspaceId }, from);
      return endedBy(subscriber, changesOfJobs(context, filter ?? {}, subscriber, from === undefined));
    },
    resolve: (change) => change,
  }),
);

/**
 * A generator that waits hears of its client's going only when its wait is over: the subscriber ends first, which
 * ends the wait, so that a quiet job keeps no subscriber of a client that has gone.
 */
function endedBy(subscriber: Subscriber, changes: AsyncGenerator<Change>): AsyncIterableIterator<Change> {
  return {
    next: () => changes.next(),
    return: async () => {
      await subscriber.return();
      return changes.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/**
 * Subscribed first, the snapshot read second: what commits in between is in the stream, and passed over where the
 * snapshot holds it already.
 */
async function* changesOfJob(
  context: GraphQLContext,
  jobId: string,
  subscriber: Subscriber,
  withSnapshot: boolean,
): AsyncGenerator<Change> {
  try {
    const epoch = await context.feed.epoch();
    if (withSnapshot) {
      const job = await findJob(context, jobId);
      subscriber.skipTo(job);
      yield snapshot(epoch, job, job);
    }
    for await (const item of subscriber) yield change(epoch, item, true);
  } finally {
    await subscriber.return();
  }
}

/** @throws NotFoundError where the viewer's workspace has no such job. */
async function findJob({ engine, viewer }: GraphQLContext, jobId: string): Promise<Job> {
  const job = await readJob(engine.prisma, jobId);
  if (job?.workspaceId !== viewer.workspaceId) throw new NotFoundError("job");
  return job;
}

async function* changesOfJobs(
  { engine, feed, viewer }: GraphQLContext,
  filter: JobFilter,
  subscriber: Subscriber,
  withSnapshots: boolean,
): AsyncGenerator<Change> {
  try {
    const epoch = await feed.epoch();
    const held = new Map<string, number>();
    if (withSnapshots) {
      // Every snapshot carries the place where the stream begins: whoever goes on from any of them misses nothing.
      const start = subscriber.position;
      const slice = { limit: SNAPSHOTS, fromEnd: false };
      for (const job of await listJobs(engine.prisma, viewer.workspaceId, filter, slice, JOB_FIELDS)) {
        held.set(job.jobId, job.version);
        yield snapshot(epoch, job, start);
      }
    }
    yield* matching(epoch, subscriber, filter, held);
  } finally {
    await subscriber.return();
  }
}

async function* matching(
  epoch: string,
  subscriber: Subscriber,
  filter: JobFilter,
  held: ReadonlyMap<string, number>,
): AsyncGenerator<Change> {
  for await (const item of subscriber) {
    const { event, job } = item;
    if (!matchesFixed(filter, job) || event.version <= (held.get(event.jobId) ?? 0)) continue;
    if (inStates(filter, event.state)) yield change(epoch, item, true);
    else if (event.previousState !== null && inStates(filter, event.previousState)) yield change(epoch, item, false);
  }
}

/** The conditions on what never changes in a job's life. */
function matchesFixed(filter: JobFilter, job: Job): boolean {
  return (
    (filter.kinds?.includes(job.jobKind) ?? true) &&
    (filter.protocolId == null || filter.protocolId === job.protocolId) &&
    (filter.parentJobId == null || filter.parentJobId.toLowerCase() === job.parentJobId) &&
    (filter.createdAfter == null || filter.createdAfter < job.createdAt) &&
    (filter.createdBefore == null || filter.createdBefore > job.createdAt)
  );
}

function inStates({ states }: JobFilter, state: JobState): boolean {
  return states?.includes(state) ?? true;
}

function snapshot(epoch: string, job: Job, position: LogPosition): Change {
  const { version, state } = job;
  const cursor = encodeCursor(epoch, position);
  return {
    kind: "SNAPSHOT",
    cursor,
    version,
    state,
    previousState: null,
    metrics: job,
    matchesFilter: true,
    event: null,
    job,
  };
}

function change(epoch: string, { event, job }: FeedItem, matchesFilter: boolean): Change {
  const { version, state, previousState } = event;
  const cursor = encodeCursor(epoch, event);
  return { kind: "EVENT", cursor, version, state, previousState, metrics: event, matchesFilter, event, job };
}
