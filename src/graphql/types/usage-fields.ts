import type { NodeExecution as Node } from "../../db/generated/client/client.ts";
import type { Run } from "../../db/rows.ts";
import { MAX_MODELS } from "../../jobs/usage/read.ts";
import { builder } from "../builder.ts";
import { AiJob } from "./ai-job.ts";
import { JobMetrics } from "./job-metrics.ts";
import { ModelUsage } from "./model-usage.ts";
import { NodeExecution } from "./node-execution.ts";
import { referencedRow } from "./relations.ts";
import { WorkflowRun } from "./workflow-run.ts";

/** What a job, its runs and their steps have used: added up where it is selected, in one statement for all rows of an answer. */

const ownId = ({ workspaceId, id }: Run | Node) => ({ workspaceId, id });
/** Most jobs call one model or two. */
const FEW = { field: 1, multiplier: 2 } as const;
const ORDER = "by provider and model in the order of their names";

builder.objectFields(AiJob, (t) => ({
  modelUsage: t.field({
    type: [ModelUsage],
    complexity: FEW,
    description:
      `What the job's calls of models have used, ${ORDER}: at most ${MAX_MODELS.toLocaleString("en")} models, those with most tokens. ` +
      "With what was reported after the job was poisoned, which its metrics and costMicros do not have (section 14).",
    resolve: async ({ workspaceId, jobId: id }, _args, { reads }) => [
      ...(await reads.modelUsageOfJob({ workspaceId, id })),
    ],
  }),
}));

builder.objectFields(WorkflowRun, (t) => ({
  metrics: t.field({
    type: JobMetrics,
    description:
      "What the run has added to the job's metrics, and what was reported for it after the job was poisoned. The metrics of all " +
      "runs of a job together are the job's (section 14).",
    resolve: async (run, _args, { reads }) => referencedRow(await reads.metricsOfRun(ownId(run))),
  }),
  modelUsage: t.field({
    type: [ModelUsage],
    complexity: FEW,
    description:
      `What the run's calls of models have used, ${ORDER}: at most ${MAX_MODELS.toLocaleString("en")} models, those with most tokens. ` +
      "With what was reported after the job was poisoned (section 14).",
    resolve: async (run, _args, { reads }) => [...(await reads.modelUsageOfRun(ownId(run)))],
  }),
}));

builder.objectFields(NodeExecution, (t) => ({
  metrics: t.field({
    type: JobMetrics,
    description: "What the reports of this execution have added to the job's metrics (section 14).",
    resolve: async (node, _args, { reads }) => referencedRow(await reads.metricsOfStep(ownId(node))),
  }),
  modelUsage: t.field({
    type: [ModelUsage],
    complexity: FEW,
    description: `The calls of models that came with the reports of this execution, ${ORDER}.`,
    resolve: async (node, _args, { reads }) => [...(await reads.modelUsageOfStep(ownId(node)))],
  }),
}));
