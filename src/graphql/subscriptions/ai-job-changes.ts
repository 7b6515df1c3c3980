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
import { type Change, type ChangeStream, changesOfJob, changesOfJobs } from "./job-changes.ts";

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
    job: t.field({
      type: AiJob,
      description: "The job; it may already be newer than the change.",
      resolve: ({ job }) => job(),
    }),
  }),
});

builder.subscriptionField("aiJobChanged", (t) =>
  t.field({
    type: AiJobChange,
    description: "One SNAPSHOT (none where `after` is given), then every EVENT of the job.",
    args: {
      jobId: t.arg({ type: "UUID", required: true, description: "The job." }),
      after: t.arg({ type: "Cursor", description: "Go on after this place, instead of beginning with a snapshot." }),
    },
    subscribe: async (_root, { jobId, after }, context, info) =>
      changesOfJob(await watch(context, info, after, jobId), jobId),
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
    subscribe: async (_root, { filter, after }, context, info) =>
      changesOfJobs(await watch(context, info, after), filter ?? {}),
    resolve: (change) => change,
  }),
);

/** What every subscription is about. The right to it is asked for first: who has none learns nothing else. */
async function watch(
  context: GraphQLContext,
  info: GraphQLResolveInfo,
  after: string | null | undefined,
  jobId?: string,
): Promise<ChangeStream> {
  const { delivery, feed, mayWatch, viewer } = context;
  const right = await mayWatch(viewer, jobId);
  const cursor = delivery.resumeAfter ?? after;
  const from = cursor == null ? undefined : await feed.resolveCursor(cursor, jobId);
  const held = cursor == null ? [] : (decodeCursor(cursor)?.deliveredAhead ?? []);
  return { context, right, fields: jobFieldsOf(namesBelow(info), info), from, deliveredAhead: held };
}
