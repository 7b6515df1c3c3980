import type { AiJob as Job } from "../../db/generated/client/client.ts";
import type { JobTimes } from "../../jobs/times.ts";
import { builder } from "../builder.ts";
import type { GraphQLContext } from "../context.ts";
import { AiJob } from "./ai-job.ts";
import { referencedRow } from "./relations.ts";

/** How long a job has waited and run: computed from its events, and only where it is selected. */

async function timesOf({ workspaceId, jobId: id }: Job, { reads }: GraphQLContext): Promise<JobTimes> {
  return referencedRow(await reads.jobTimes({ workspaceId, id }));
}

builder.objectFields(AiJob, (t) => ({
  startedAt: t.field({
    type: "DateTime",
    nullable: true,
    description: "When the job's first run started; null before that.",
    resolve: async (job, _args, context) => (await timesOf(job, context)).startedAt,
  }),
  queuedMs: t.field({
    type: "SafeInt",
    description:
      "Milliseconds that the job has waited in QUEUED, over all attempts and until now; also while it was not due.",
    resolve: async (job, _args, context) => (await timesOf(job, context)).queuedMs,
  }),
  runMs: t.field({
    type: "SafeInt",
    description: "Milliseconds that the job has been RUNNING, over all attempts and until now.",
    resolve: async (job, _args, context) => (await timesOf(job, context)).runMs,
  }),
}));
