import { builder } from "../builder.ts";
import { WorkflowRun } from "../types/workflow-run.ts";

builder.queryField("workflowRun", (t) =>
  t.field({
    permission: "JOBS_READ",
    type: WorkflowRun,
    nullable: true,
    description: "A run by its id; null if the workspace has no such run.",
    args: { workflowRunId: t.arg({ type: "UUID", required: true, description: "The run's id." }) },
    resolve: async (_root, { workflowRunId: id }, { reads, viewer: { workspaceId } }) => {
      const [run] = await reads.run({ workspaceId, id });
      return run;
    },
  }),
);
