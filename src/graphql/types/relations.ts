import DataLoader from "dataloader";
import type { GraphQLResolveInfo } from "graphql";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import { type DocumentField, isDocumentField, type JobField, type JobSummary } from "../../db/job-columns.ts";
import { findJobs } from "../../jobs/list.ts";
import { findRuns, listNodesOf } from "../../runs/list.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import type { GraphQLContext } from "../context.ts";
import type { Loaders } from "../loaders.ts";
import { AiJob, jobFieldsOf } from "./ai-job.ts";
import { NodeExecution, WorkflowRun } from "./workflow-run.ts";

/** What leads from one type to another: of all rows of an answer read in one statement, and only the columns asked for. */

builder.objectField(AiJob, "parentJob", (t) =>
  t.field({
    type: AiJob,
    nullable: true,
    description: "The job that this one is a child of.",
    resolve: ({ parentJobId }, _args, context, info) => (parentJobId ? loadJob(context, info, parentJobId) : null),
  }),
);

builder.objectField(AiJob, "workflowRun", (t) =>
  t.field({
    type: WorkflowRun,
    nullable: true,
    description: "The latest run; null until the first.",
    resolve: ({ workflowRunId }, _args, { engine, loaders }) => {
      if (!workflowRunId) return null;
      return loaderOf(loaders, loaders.latestRuns, "", (ids) => findRuns(engine.prisma, ids), none).load(workflowRunId);
    },
  }),
);

builder.objectField(WorkflowRun, "job", (t) =>
  t.field({
    type: AiJob,
    description: "The job that it is an attempt at.",
    resolve: ({ jobId }, _args, context, info) => loadJob(context, info, jobId),
  }),
);

builder.objectField(WorkflowRun, "nodes", (t) =>
  t.field({
    type: [NodeExecution],
    description: "Every execution of its steps, in order; at most 1,000.",
    resolve: ({ id }, _args, { engine, loaders }, info) => {
      const names = namesBelow(info);
      const withPayloads = names.has("inputPayload") || names.has("outputPayload");
      const read = (runIds: readonly string[]) => listNodesOf(engine.prisma, runIds, withPayloads);
      return loaderOf(loaders, loaders.nodes, String(withPayloads), read, () => []).load(id);
    },
  }),
);

/** A job that a row names, with the columns that are asked for. */
export function loadJob(context: GraphQLContext, info: GraphQLResolveInfo, jobId: string): Promise<Job> {
  return jobLoader(context, context.loaders, jobFieldsOf(namesBelow(info), info)).load(jobId);
}

/**
 * A job as a command leaves it, which does not read documents that it does not need: where they are asked for they are
 * read here.
 */
export async function withDocuments(
  context: GraphQLContext,
  info: GraphQLResolveInfo,
  job: JobSummary & Partial<Pick<Job, DocumentField>>,
): Promise<Job> {
  const unread = jobFieldsOf(namesBelow(info), info).filter(
    (field) => isDocumentField(field) && job[field] === undefined,
  );
  if (unread.length === 0) return { ...NO_DOCUMENTS, ...job };
  const documents = await jobLoader(context, context.loaders, ["jobId", ...unread]).load(job.jobId);
  return { ...NO_DOCUMENTS, ...documents, ...job };
}

/** For those that nobody asks for. */
const NO_DOCUMENTS = {
  jobInputs: null,
  jobOutputs: null,
  entityRefs: [],
  plannedOperations: [],
} satisfies Pick<Job, DocumentField>;

/** Loads jobs with these columns. */
export function jobLoader(
  { engine }: Pick<GraphQLContext, "engine">,
  loaders: Loaders,
  fields: readonly JobField[],
): DataLoader<string, Job> {
  return loaderOf(loaders, loaders.jobs, fields.join(), (ids) => findJobs(engine.prisma, ids, fields), none);
}

/** A foreign key sees to it that this does not happen. */
function none(id: string): Error {
  return new Error(`There is nothing with the id ${id}.`);
}

/** The one of these loaders that stands under a key, or a new one. */
export function loaderOf<Row>(
  { remember }: Pick<Loaders, "remember">,
  loaders: Map<string, DataLoader<string, Row>>,
  key: string,
  read: (ids: readonly string[]) => Promise<ReadonlyMap<string, Row>>,
  missing: (id: string) => Row | Error,
): DataLoader<string, Row> {
  const known = loaders.get(key);
  if (known) return known;
  const loader = new DataLoader<string, Row>(
    async (ids) => {
      const rows = await read([...new Set(ids)]);
      return ids.map((id) => rows.get(id) ?? missing(id));
    },
    { cache: remember },
  );
  loaders.set(key, loader);
  return loader;
}
