import { z } from "zod";
import type {
  FlightRecorderEvent as Event,
  AiJob as Job,
  WorkflowRun as Run,
} from "../../db/generated/client/client.ts";
import type { Slice } from "../../db/slice.ts";
import type { JobFilter } from "../../jobs/filter.ts";
import { boundedText } from "../../jobs/input-text.ts";
import type { JobKey } from "../../jobs/list.ts";
import { encodeCursor } from "../../log/cursor.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type ConnectionArgs, type KeyCodec, moment, namesBelow, type Page, toPage, toSlice } from "../connection.ts";
import { JobKindEnum, JobStateEnum } from "../enums.ts";
import { AiJob, jobFieldsOf } from "../types/ai-job.ts";
import { WorkflowRun } from "../types/workflow-run.ts";
import { FlightRecorderEvent } from "./flight-recorder-events.ts";

/** Held to `JobFilter` by the compiler: a field of the one that the other lacks does not compile. */
export const AiJobFilter = builder.inputType("AiJobFilter", {
  description: "Which jobs; every condition that is given must hold.",
  fields: (t) =>
    ({
      states: t.field({ type: [JobStateEnum], description: "In one of these states." }),
      kinds: t.field({ type: [JobKindEnum], description: "Of one of these kinds." }),
      protocolId: t.string({ validate: boundedText(200).nullish(), description: "Of this protocol." }),
      parentJobId: t.field({ type: "UUID", description: "Children of this job." }),
      createdAfter: t.field({ type: "DateTime", description: "Submitted later than this." }),
      createdBefore: t.field({ type: "DateTime", description: "Submitted earlier than this." }),
    }) satisfies Record<keyof JobFilter, unknown>,
});

const jobPlace = z.tuple([moment, z.uuid()]).transform(([createdAt, jobId]): JobKey => ({ createdAt, jobId }));

const newestFirst: KeyCodec<Job, JobKey> = {
  keyOf: ({ createdAt, jobId }) => [createdAt.toISOString(), jobId],
  schema: jobPlace,
};

/** A page of jobs that remembers what it is a page of. */
interface JobPage extends Page<Job> {
  readonly filter: JobFilter;
  /** Read before the page, where it is asked for: a subscription from there misses nothing that the page lacks. */
  readonly feedCursor: string | undefined;
}

builder.queryField("aiJob", (t) =>
  t.field({
    type: AiJob,
    nullable: true,
    description: "A job by its id; null where there is none in this workspace.",
    args: { jobId: t.arg({ type: "UUID", required: true, description: "The job's own id." }) },
    resolve: async (_root, { jobId }, { reads, viewer: { workspaceId } }, info) => {
      const [job] = await reads.job({ workspaceId, id: jobId }, jobFieldsOf(namesBelow(info), info));
      return job;
    },
  }),
);

builder.queryField("aiJobs", (t) =>
  t.connection(
    {
      type: AiJob,
      description: "The workspace's jobs, newest first.",
      complexity: pageComplexity,
      args: { filter: t.arg({ type: AiJobFilter, description: "Which jobs; all where it is left out." }) },
      resolve: async (_root, { filter: given, ...args }, { feed, lists, viewer }, info): Promise<JobPage> => {
        const slice = toSlice(args, newestFirst);
        const names = namesBelow(info);
        const feedCursor = names.has("feedCursor")
          ? encodeCursor(await feed.epoch(), await feed.watermark())
          : undefined;
        const fields = jobFieldsOf(names, info);
        const filter = given ?? {};
        const rows = await lists.jobs({ workspaceId: viewer.workspaceId, filter, slice, fields });
        return { ...toPage(rows, slice, newestFirst), filter, feedCursor };
      },
    },
    {
      description: "A page of jobs.",
      fields: (page) => ({
        totalCount: page.field({
          type: "SafeInt",
          description: "How many jobs match, over all pages. Counted only where it is asked for.",
          resolve: ({ filter }: JobPage, _args, { lists, viewer: { workspaceId } }) =>
            lists.jobCount({ workspaceId, filter }),
        }),
        feedCursor: page.field({
          type: "Cursor",
          description: "The place in the event log from which a subscription continues this list.",
          resolve: ({ feedCursor }: JobPage) => feedCursor ?? "",
        }),
      }),
    },
    { description: "A job and its place in the list." },
  ),
);

const number = z.tuple([z.int32()]).transform(([value]) => value);
const byAttempt: KeyCodec<Run, number> = { keyOf: ({ attempt }) => [attempt], schema: number };
const byVersion: KeyCodec<Event, number> = { keyOf: ({ version }) => [version], schema: number };

builder.objectField(AiJob, "workflowRuns", (t) =>
  t.connection({
    type: WorkflowRun,
    description: "All its runs, first attempt first.",
    complexity: pageComplexity,
    resolve: ({ workspaceId, jobId: id }, args, { reads }) =>
      pageOf(args, byAttempt, (slice) => reads.runsOfJob({ workspaceId, id }, slice)),
  }),
);

builder.objectField(AiJob, "events", (t) =>
  t.connection({
    type: FlightRecorderEvent,
    description: "Everything that happened to it, in the order of its versions.",
    complexity: pageComplexity,
    resolve: ({ workspaceId, jobId: id }, args, { reads }) =>
      pageOf(args, byVersion, (slice) => reads.eventsOfJob({ workspaceId, id }, slice)),
  }),
);

async function pageOf<Row>(
  args: ConnectionArgs,
  codec: KeyCodec<Row, number>,
  read: (slice: Slice<number>) => Promise<readonly Row[]>,
): Promise<Page<Row>> {
  const slice = toSlice(args, codec);
  return toPage(await read(slice), slice, codec);
}
