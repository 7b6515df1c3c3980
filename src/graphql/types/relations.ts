import type { GraphQLResolveInfo } from "graphql";
import { z } from "zod";
import type { ScopedId } from "../../db/batched-read.ts";
import type { FlightRecorderEvent as Event, AiJob as Job, Workspace } from "../../db/generated/client/client.ts";
import { type DocumentField, isDocumentField, type JobSummary } from "../../db/job-columns.ts";
import type { Run } from "../../db/rows.ts";
import type { Slice } from "../../db/slice.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type ConnectionArgs, type KeyCodec, namesBelow, type Page, toPage, toSlice } from "../connection.ts";
import type { GraphQLContext } from "../context.ts";
import { AiJob, jobFieldsOf } from "./ai-job.ts";
import { AiJobConnection, FlightRecorderEventConnection, type JobPage, WorkflowRunConnection } from "./connections.ts";
import { FlightRecorderEvent } from "./flight-recorder-event.ts";
import { jobKeyCodec } from "./job-order.ts";
import { NodeExecution } from "./node-execution.ts";
import { WorkflowRun } from "./workflow-run.ts";

/**
 * The fields that lead from one type to another. Each is read in one statement for all rows of an answer, with only the
 * columns that the operation selects, and in the workspace of the row that it starts from. The viewer's workspace would
 * be wrong: a worker that serves every workspace gets jobs of several of them in one answer.
 */

builder.objectField(AiJob, "parentJob", (t) =>
  t.field({
    type: AiJob,
    nullable: true,
    description: "The job's parent; null for the root of a tree.",
    resolve: ({ workspaceId, parentJobId }, _args, context, info) => {
      if (!parentJobId) return null;
      context.readable.showParent(parentJobId);
      return loadJob(context, info, { workspaceId, id: parentJobId });
    },
  }),
);

builder.objectField(AiJob, "workflowRun", (t) =>
  t.field({
    type: WorkflowRun,
    nullable: true,
    description: "The job's latest run; null before the first.",
    resolve: async ({ workspaceId, workflowRunId }, _args, { reads }) =>
      workflowRunId ? referencedRow(await reads.run({ workspaceId, id: workflowRunId })) : null,
  }),
);

/** The key of a list whose rows are numbered. */
export const integerKey = z.tuple([z.int32()]).transform(([value]) => value);
const byAttempt: KeyCodec<Run, number> = { keyOf: ({ attempt }) => [attempt], schema: integerKey };
const byVersion: KeyCodec<Event, number> = { keyOf: ({ version }) => [version], schema: integerKey };

builder.objectField(AiJob, "workflowRuns", (t) =>
  t.connection(
    {
      type: WorkflowRun,
      description:
        "All runs of the job, in the order of their attempts. Within a claim, `workflowRuns(last: 5) { nodes { steps { … } } }` " +
        "gives a worker what the attempts before its own have done.",
      complexity: pageComplexity,
      resolve: ({ workspaceId, jobId: id }, args, { reads }) =>
        pageOf(args, byAttempt, (slice) => reads.runsOfJob({ workspaceId, id }, slice)),
    },
    WorkflowRunConnection,
  ),
);

builder.objectField(AiJob, "events", (t) =>
  t.connection(
    {
      type: FlightRecorderEvent,
      description: "All events of the job, in the order of its versions.",
      complexity: pageComplexity,
      resolve: ({ workspaceId, jobId: id }, args, { reads }) =>
        pageOf(args, byVersion, (slice) => reads.eventsOfJob({ workspaceId, id }, slice)),
    },
    FlightRecorderEventConnection,
  ),
);

builder.objectField(AiJob, "children", (t) =>
  t.connection(
    {
      permission: "JOBS_READ",
      type: AiJob,
      description: "The jobs whose parent is this job, newest first.",
      complexity: pageComplexity,
      resolve: async ({ workspaceId, jobId: id }, args, { reads, feed }, info): Promise<JobPage> => {
        const codec = jobKeyCodec("CREATED_AT");
        const slice = toSlice(args, codec);
        const names = namesBelow(info);
        const feedCursor = names.has("feedCursor") ? await feed.cursors.current() : undefined;
        const rows = await reads.childrenOfJob({ workspaceId, id }, { slice, fields: jobFieldsOf(names, info) });
        const totalCount = async () => (await reads.childCount({ workspaceId, id }))[0]?.children ?? 0;
        return { ...toPage(rows, slice, codec), totalCount, feedCursor };
      },
    },
    AiJobConnection,
  ),
);

builder.objectField(FlightRecorderEvent, "job", (t) =>
  t.field({
    type: AiJob,
    description: "The job that changed, as it is now: it may be newer than the event.",
    resolve: ({ workspaceId, jobId }, _args, context, info) => loadJob(context, info, { workspaceId, id: jobId }),
  }),
);

builder.objectField(WorkflowRun, "job", (t) =>
  t.field({
    type: AiJob,
    description: "The job that the run is an attempt at.",
    resolve: ({ workspaceId, jobId }, _args, context, info) => loadJob(context, info, { workspaceId, id: jobId }),
  }),
);

builder.objectField(WorkflowRun, "steps", (t) =>
  t.field({
    type: [NodeExecution],
    description: "All executions of the run's steps, in the order in which they started; at most 1,000.",
    resolve: async ({ workspaceId, id }, _args, { reads }, info) => {
      const names = namesBelow(info);
      const withPayloads = names.has("inputPayload") || names.has("outputPayload");
      return [...(await reads.nodesOfRun({ workspaceId, id }, { withPayloads }))];
    },
  }),
);

/**
 * Reads a job that another row refers to.
 * @returns the job with the columns that the operation selects below this field; its other columns are undefined.
 */
export async function loadJob({ reads }: GraphQLContext, info: GraphQLResolveInfo, id: ScopedId): Promise<Job> {
  return referencedRow(await reads.job(id, jobFieldsOf(namesBelow(info), info)));
}

/**
 * Completes the job that a command returned. Commands do not read documents that they do not need; those that the
 * operation selects are read here.
 * @returns the job with every column that the operation selects.
 */
export async function withDocuments(
  { reads }: GraphQLContext,
  info: GraphQLResolveInfo,
  job: JobSummary & Partial<Pick<Job, DocumentField>>,
): Promise<Job> {
  const missing = jobFieldsOf(namesBelow(info), info).filter(
    (field) => isDocumentField(field) && job[field] === undefined,
  );
  if (missing.length === 0) return { ...NO_DOCUMENTS, ...job };
  const { workspaceId, jobId: id } = job;
  return { ...NO_DOCUMENTS, ...referencedRow(await reads.job({ workspaceId, id }, missing)), ...job };
}

/** Fills the columns of documents that the operation does not select, and that are therefore never shown. */
const NO_DOCUMENTS = {
  jobInputs: null,
  jobOutputs: null,
  entityRefs: [],
  plannedOperations: [],
} satisfies Pick<Job, DocumentField>;

/**
 * The row that another row refers to.
 * @throws Error where it is missing; a foreign key makes that impossible, so it is a fault of this server.
 */
export function referencedRow<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new Error("A row refers to another row that does not exist.");
  return row;
}

/** Reads a page of a list that belongs to one row, such as the events of a job. */
export async function pageOf<Row>(
  args: ConnectionArgs,
  codec: KeyCodec<Row, number>,
  read: (slice: Slice<number>) => Promise<readonly Row[]>,
): Promise<Page<Row>> {
  const slice = toSlice(args, codec);
  return toPage(await read(slice), slice, codec);
}

/** @returns the workspace with this id; null where there is none, or no id. All of one list are read by one statement. */
export async function workspaceOf({ reads }: GraphQLContext, workspaceId: string | null): Promise<Workspace | null> {
  if (workspaceId === null) return null;
  const [workspace = null] = await reads.workspace({ workspaceId, id: workspaceId });
  return workspace;
}
