import { z } from "zod";
import type { AiJob as Job } from "../../db/generated/client/client.ts";
import type { JobFilter } from "../../jobs/filter.ts";
import type { JobKey } from "../../jobs/list.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, namesBelow, type Page, storableDate, toPage, toSlice } from "../connection.ts";
import { AiJob, jobFieldsOf } from "../types/ai-job.ts";
import { AiJobFilter } from "../types/ai-job-filter.ts";

const newestFirst: KeyCodec<Job, JobKey> = {
  keyOf: ({ createdAt, jobId }) => [createdAt.toISOString(), jobId],
  schema: z.tuple([storableDate, z.uuid()]).transform(([createdAt, jobId]) => ({ createdAt, jobId })),
};

interface JobPage extends Page<Job> {
  /** The filter of the list, from which `totalCount` is counted. */
  readonly filter: JobFilter;
  /**
   * The log position from before the page was read; undefined unless the operation asks for it. Read after the page, it
   * could lie beyond a change that the page lacks, and a subscription that starts there would miss that change.
   */
  readonly feedCursor: string | undefined;
}

builder.queryField("aiJobs", (t) =>
  t.connection(
    {
      type: AiJob,
      description: "The workspace's jobs, newest first.",
      complexity: pageComplexity,
      args: { filter: t.arg({ type: AiJobFilter, description: "Which jobs; if left out, all." }) },
      resolve: async (_root, { filter: jobFilter, ...args }, { feed, lists, viewer }, info): Promise<JobPage> => {
        const slice = toSlice(args, newestFirst);
        const names = namesBelow(info);
        const feedCursor = names.has("feedCursor") ? await feed.cursor() : undefined;
        const fields = jobFieldsOf(names, info);
        const filter = jobFilter ?? {};
        const rows = await lists.jobs({ workspaceId: viewer.workspaceId, filter, slice, fields });
        return { ...toPage(rows, slice, newestFirst), filter, feedCursor };
      },
    },
    {
      description: "A page of jobs.",
      fields: (page) => ({
        totalCount: page.field({
          type: "SafeInt",
          description: "The number of jobs that match, over all pages; counted only if it is selected.",
          resolve: ({ filter }: JobPage, _args, { lists, viewer: { workspaceId } }) =>
            lists.jobCount({ workspaceId, filter }),
        }),
        feedCursor: page.field({
          type: "Cursor",
          description:
            "The position in the event log from which a subscription continues this list without a gap: pass it as " +
            "`after` to aiJobsChanged (section 10).",
          resolve: ({ feedCursor }: JobPage) => feedCursor ?? "",
        }),
      }),
    },
    { description: "A job and its position in the list." },
  ),
);
