import SchemaBuilder, { BasePlugin, type PothosOutputFieldConfig, type SchemaTypes } from "@pothos/core";
import { type GraphQLFieldResolver, type GraphQLOutputType, getNamedType, isLeafType, isNonNullType } from "graphql";
import { ForbiddenError } from "../errors.ts";
import { ReadableJobs } from "./readable-jobs.ts";

/** The types whose rows are of one job, which they name in `jobId`. What else tells of a job is reached through one of these. */
const TYPES_OF_A_JOB: readonly string[] = ["AiJob", "WorkflowRun", "FlightRecorderEvent", "SecurityViolation"];
/** What everybody reads of a job that he is answered with. */
const SHOWN_TO_ALL: readonly string[] = ["id", "jobId", "state", "statusReason"];

/**
 * Shows a caller without JOBS_READ no more of a job than `ReadableJobs` says, wherever the job comes from: another field of such a type is
 * null where it can be, and `FORBIDDEN` where it cannot. With JOBS_READ, the workspace alone decides, where the row is read.
 */
class JobReadsPlugin<Types extends SchemaTypes> extends BasePlugin<Types> {
  override wrapResolve(
    resolve: GraphQLFieldResolver<unknown, Types["Context"], object>,
    { parentType, name }: PothosOutputFieldConfig<Types>,
  ): GraphQLFieldResolver<unknown, Types["Context"], object> {
    if (!TYPES_OF_A_JOB.includes(parentType)) return resolve;
    if (parentType === "AiJob" && SHOWN_TO_ALL.includes(name)) return resolve;
    return (row, args, context, info) => {
      if (mayRead(context, row, info.returnType)) return resolve(row, args, context, info);
      if (!isNonNullType(info.returnType)) return null;
      throw new ForbiddenError(
        `${parentType}.${name} of this job needs the permission JOBS_READ: without it, a worker reads the jobs that it holds.`,
      );
    };
  }
}

function mayRead(context: object, row: unknown, type: GraphQLOutputType): boolean {
  if (!("readable" in context && context.readable instanceof ReadableJobs)) return false;
  const { readable } = context;
  return readable.areAll || (hasJob(row) && readable.mayRead(row.jobId, isLeafType(getNamedType(type))));
}

function hasJob(row: unknown): row is { readonly jobId: string } {
  return typeof row === "object" && row !== null && "jobId" in row && typeof row.jobId === "string";
}

/** The plugin's name, for the builder. */
export const JOB_READS = "jobReads" as const;

declare global {
  export namespace PothosSchemaTypes {
    export interface Plugins<Types extends SchemaTypes> {
      jobReads: JobReadsPlugin<Types>;
    }
  }
}

SchemaBuilder.registerPlugin(JOB_READS, JobReadsPlugin);
