import type { GraphQLResolveInfo } from "graphql";
import type { ScopedId } from "../../db/batched-read.ts";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import { type DocumentField, isDocumentField, type JobSummary } from "../../db/job-columns.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import type { GraphQLContext } from "../context.ts";
import { AiJob, jobFieldsOf } from "./ai-job.ts";
import { NodeExecution, WorkflowRun } from "./workflow-run.ts";

/**
 * What leads from one type to another: read in one statement for all rows of an answer, with only the columns that are
 * asked for, and in the workspace of the row that it leads from. A worker that serves every workspace is told of jobs of
 * several of them, so the viewer's would be wrong.
 */

builder.objectField(AiJob, "parentJob", (t) =>
  t.field({
    type: AiJob,
    nullable: true,
    description: "The job that this one is a child of.",
    resolve: ({ workspaceId, parentJobId }, _args, context, info) =>
      parentJobId ? loadJob(context, info, { workspaceId, id: parentJobId }) : null,
  }),
);

builder.objectField(AiJob, "workflowRun", (t) =>
  t.field({
    type: WorkflowRun,
    nullable: true,
    description: "The latest run; null until the first.",
    resolve: async ({ workspaceId, workflowRunId }, _args, { reads }) =>
      workflowRunId ? onlyOne(await reads.run({ workspaceId, id: workflowRunId })) : null,
  }),
);

builder.objectField(WorkflowRun, "job", (t) =>
  t.field({
    type: AiJob,
    description: "The job that it is an attempt at.",
    resolve: ({ workspaceId, jobId }, _args, context, info) => loadJob(context, info, { workspaceId, id: jobId }),
  }),
);

builder.objectField(WorkflowRun, "nodes", (t) =>
  t.field({
    type: [NodeExecution],
    description: "Every execution of its steps, in order; at most 1,000.",
    resolve: async ({ workspaceId, id }, _args, { reads }, info) => {
      const names = namesBelow(info);
      const withPayloads = names.has("inputPayload") || names.has("outputPayload");
      return [...(await reads.nodesOfRun({ workspaceId, id }, { withPayloads }))];
    },
  }),
);

/** A job that a row names, with the columns that are asked for. */
export async function loadJob({ reads }: GraphQLContext, info: GraphQLResolveInfo, id: ScopedId): Promise<Job> {
  return onlyOne(await reads.job(id, jobFieldsOf(namesBelow(info), info)));
}

/**
 * A job as a command leaves it, which does not read documents that it does not need: where they are asked for they are
 * read here.
 */
export async function withDocuments(
  { reads }: GraphQLContext,
  info: GraphQLResolveInfo,
  job: JobSummary & Partial<Pick<Job, DocumentField>>,
): Promise<Job> {
  const unread = jobFieldsOf(namesBelow(info), info).filter(
    (field) => isDocumentField(field) && job[field] === undefined,
  );
  if (unread.length === 0) return { ...NO_DOCUMENTS, ...job };
  const { workspaceId, jobId: id } = job;
  return { ...NO_DOCUMENTS, ...onlyOne(await reads.job({ workspaceId, id }, unread)), ...job };
}

/** For those that nobody asks for. */
const NO_DOCUMENTS = {
  jobInputs: null,
  jobOutputs: null,
  entityRefs: [],
  plannedOperations: [],
} satisfies Pick<Job, DocumentField>;

/** The row of an id that another row refers to: a foreign key sees to it that there is one. */
export function onlyOne<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new Error("A row refers to one that is not there.");
  return row;
}
