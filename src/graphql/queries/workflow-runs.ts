import { z } from "zod";
import type { Run } from "../../db/rows.ts";
import { within } from "../../db/scope.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { listRuns, type RunFilter } from "../../runs/list.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, toPage, toSlice } from "../connection.ts";
import { JobStateEnum } from "../enums.ts";
import { WorkflowRunConnection } from "../types/connections.ts";
import { WorkflowRun } from "../types/workflow-run.ts";

/** The compiler compares its fields with those of `RunFilter`: a field that only one of the two has does not compile. */
const WorkflowRunFilter = builder.inputType("WorkflowRunFilter", {
  description: "Selects runs; every condition that is given must hold.",
  fields: (t) =>
    ({
      states: t.field({ type: [JobStateEnum], description: "Only runs in one of these states." }),
      workerId: t.string({
        validate: boundedText(200).nullish(),
        description: "Only runs of this worker. Together with states: [RUNNING], what the worker holds now.",
      }),
      leaseExpiresBefore: t.field({
        type: "DateTime",
        description: "Only runs whose lease ends earlier than this; a run without a lease does not match.",
      }),
    }) satisfies Record<keyof RunFilter, unknown>,
});

const byClaim: KeyCodec<Run, string> = { keyOf: ({ id }) => [id], schema: z.tuple([z.uuid()]).transform(([id]) => id) };

builder.queryField("workflowRuns", (t) =>
  t.connection(
    {
      permission: "JOBS_READ",
      type: WorkflowRun,
      description: "The workspace's runs, the latest claimed first.",
      complexity: pageComplexity,
      args: { filter: t.arg({ type: WorkflowRunFilter, description: "Which runs; if left out, all." }) },
      resolve: async (_root, { filter, ...args }, { engine, viewer: { workspaceId } }) => {
        const slice = toSlice(args, byClaim);
        return toPage(
          await within([workspaceId], () => listRuns(engine.prisma, workspaceId, filter ?? {}, slice)),
          slice,
          byClaim,
        );
      },
    },
    WorkflowRunConnection,
  ),
);
