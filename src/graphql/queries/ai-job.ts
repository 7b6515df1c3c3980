import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import { AiJob, jobFieldsOf } from "../types/ai-job.ts";

builder.queryField("aiJob", (t) =>
  t.field({
    permission: "JOBS_READ",
    type: AiJob,
    nullable: true,
    description: "A job by its id; null if the workspace has no such job.",
    args: { jobId: t.arg({ type: "UUID", required: true, description: "The job's id." }) },
    resolve: async (_root, { jobId }, { reads, viewer: { workspaceId } }, info) => {
      const [job] = await reads.job({ workspaceId, id: jobId }, jobFieldsOf(namesBelow(info), info));
      return job;
    },
  }),
);
