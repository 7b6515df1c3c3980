import { NEWEST_FIRST } from "../../jobs/list.ts";
import { builder, pageComplexity } from "../builder.ts";
import { namesBelow, toPage, toSlice } from "../connection.ts";
import { AiJob, jobFieldsOf } from "../types/ai-job.ts";
import { AiJobFilter } from "../types/ai-job-filter.ts";
import { AiJobConnection, type JobPage } from "../types/connections.ts";
import { AiJobOrder, jobKeyCodec, orderColumn } from "../types/job-order.ts";

builder.queryField("aiJobs", (t) =>
  t.connection(
    {
      permission: "JOBS_READ",
      type: AiJob,
      description:
        "The workspace's jobs, newest first unless an order is given. By UPDATED_AT, a filter that few of the recently changed " +
        "jobs match is slow, unless its states are among RUNNING, STALLED, AWAITING_VALIDATION and AWAITING_USER. " +
        "By COST, the filter needs createdAfter and createdBefore.",
      complexity: pageComplexity,
      args: {
        filter: t.arg({ type: AiJobFilter, description: "Which jobs; if left out, all." }),
        orderBy: t.arg({ type: AiJobOrder, description: "The order; if left out, CREATED_AT, DESC." }),
      },
      resolve: async (_root, { filter: jobFilter, orderBy, ...args }, context, info): Promise<JobPage> => {
        const { feed, lists } = context;
        const { workspaceId } = context.viewer;
        const order = orderBy ?? NEWEST_FIRST;
        const codec = jobKeyCodec(order.field);
        const slice = toSlice(args, codec);
        const names = namesBelow(info);
        const feedCursor = names.has("feedCursor") ? await feed.cursors.current() : undefined;
        const fields = [...new Set([...jobFieldsOf(names, info), orderColumn(order.field)])];
        const filter = jobFilter ?? {};
        const rows = await lists.jobs({ workspaceId, filter, slice, fields, order });
        const totalCount = () => lists.jobCount({ workspaceId, filter });
        return { ...toPage(rows, slice, codec), totalCount, feedCursor };
      },
    },
    AiJobConnection,
  ),
);
