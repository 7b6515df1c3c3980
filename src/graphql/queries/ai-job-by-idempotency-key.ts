import { boundedText } from "../../jobs/input-text.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import { AiJob, jobFieldsOf } from "../types/ai-job.ts";

builder.queryField("aiJobByIdempotencyKey", (t) =>
  t.field({
    permission: "JOBS_READ",
    type: AiJob,
    nullable: true,
    description: "The job that was submitted with an idempotency key; null if the workspace has no such job.",
    args: {
      idempotencyKey: t.arg.string({
        required: true,
        validate: boundedText(200),
        description: "The key of the submit, 1 to 200 characters.",
      }),
    },
    resolve: async (_root, { idempotencyKey }, { lists, viewer: { workspaceId } }, info) => {
      const fields = jobFieldsOf(namesBelow(info), info);
      const slice = { limit: 1, fromEnd: false };
      const [job] = await lists.jobs({ workspaceId, filter: { idempotencyKey }, slice, fields });
      return job;
    },
  }),
);
