import type { GraphQLResolveInfo } from "graphql";
import { decodeCursor } from "../../log/cursor.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import type { GraphQLContext } from "../context.ts";
import { AiJobChangeKindEnum, JobStateEnum } from "../enums.ts";
import { AiJob, jobFieldsOf } from "../types/ai-job.ts";
import { AiJobFilter } from "../types/ai-job-filter.ts";
import { FlightRecorderEvent } from "../types/flight-recorder-event.ts";
import { JobMetrics } from "../types/job-metrics.ts";
import { type Change, changesOfJob, changesOfJobs, type SubscriptionRequest } from "./job-changes.ts";

const AiJobChange = builder.objectRef<Change>("AiJobChange").implement({
  description: "A live payload: a snapshot of a job when the subscription began, or a change of it (section 10).",
  fields: (t) => ({
    kind: t.expose("kind", { type: AiJobChangeKindEnum, description: "Whether this is a snapshot or an event." }),
    cursor: t.expose("cursor", {
      type: "Cursor",
      description: "The position in the event log; pass it as `after` to continue from here.",
    }),
    version: t.exposeInt("version", { description: "The job's version after the change." }),
    state: t.expose("state", { type: JobStateEnum, description: "The job's state after the change." }),
    previousState: t.expose("previousState", {
      type: JobStateEnum,
      nullable: true,
      description: "The job's state before the change; null for a snapshot and for the job's first event.",
    }),
    metrics: t.expose("metrics", { type: JobMetrics, description: "The job's metrics after the change." }),
    matchesFilter: t.exposeBoolean("matchesFilter", {
      description:
        "Whether the job matches the filter after the change. False once, for the change with which it stops matching.",
    }),
    event: t.expose("event", {
      type: FlightRecorderEvent,
      nullable: true,
      description: "The event; null for a snapshot.",
    }),
    job: t.field({
      type: AiJob,
      description: "The job as it is now: it may be newer than the change.",
      resolve: ({ job }) => job(),
    }),
  }),
});

builder.subscriptionField("aiJobChanged", (t) =>
  t.field({
    type: AiJobChange,
    permission: "JOBS_READ",
    description:
      "One SNAPSHOT (none if `after` is given), then every EVENT of the job. An unknown job is NOT_FOUND; an `after` that is " +
      "too old is CURSOR_EXPIRED (section 10).",
    args: {
      jobId: t.arg({ type: "UUID", required: true, description: "The job's id." }),
      after: t.arg({
        type: "Cursor",
        description: "Continue after this position instead of beginning with a snapshot.",
      }),
      untilEnded: t.arg.boolean({
        required: true,
        defaultValue: false,
        description:
          "Whether the subscription completes once it has told of a state that nothing leaves: COMPLETED, " +
          "COMPLETED_WITH_ISSUES, CANCELLED or POISONED. A FAILED job may be retried, so the subscription goes on.",
      }),
    },
    subscribe: async (_root, { jobId, after, untilEnded }, context, info) =>
      changesOfJob(await watch(context, info, after, jobId), jobId, untilEnded),
    resolve: (change) => change,
  }),
);

builder.subscriptionField("aiJobsChanged", (t) =>
  t.field({
    type: AiJobChange,
    permission: "JOBS_READ",
    description:
      "SNAPSHOTs of the newest 100 jobs that match (none if `after` is given), then EVENTs of all jobs that match. For " +
      "longer lists, read aiJobs { feedCursor } and pass it as `after`. An `after` that is too old is CURSOR_EXPIRED " +
      "(section 10).",
    args: {
      filter: t.arg({ type: AiJobFilter, description: "Which jobs; if left out, all." }),
      after: t.arg({
        type: "Cursor",
        description: "Continue after this position instead of beginning with snapshots.",
      }),
    },
    subscribe: async (_root, { filter, after }, context, info) =>
      changesOfJobs(await watch(context, info, after), filter ?? {}),
    resolve: (change) => change,
  }),
);

/**
 * What both subscriptions do first. The permission is checked before anything else, so that a viewer without it cannot
 * learn from another error whether a job or a cursor exists.
 * @throws AppError where the viewer may not watch; CursorExpiredError or InvalidInputError where the cursor cannot be
 *   used.
 */
async function watch(
  context: GraphQLContext,
  info: GraphQLResolveInfo,
  after: string | null | undefined,
  jobId?: string,
): Promise<SubscriptionRequest> {
  const { resumeState, feed, mayWatch, viewer } = context;
  const right = await mayWatch(viewer, jobId);
  const cursor = resumeState.resumeAfter ?? after;
  const from = cursor == null ? undefined : await feed.cursors.resolve(cursor, jobId);
  const snapshotPositions = cursor == null ? [] : (decodeCursor(cursor)?.snapshotPositions ?? []);
  return { context, right, fields: jobFieldsOf(namesBelow(info), info), from, snapshotPositions };
}
