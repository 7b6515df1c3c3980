import { z } from "zod";
import { within } from "../../db/scope.ts";
import { listWorkers, type Worker as WorkerRow } from "../../runs/workers.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, toPage, toSlice } from "../connection.ts";
import { JobKindEnum } from "../enums.ts";

const Worker = builder.objectRef<WorkerRow>("Worker").implement({
  description: "A worker that holds jobs of the workspace.",
  fields: (t) => ({
    workerId: t.exposeString("workerId", { description: "The worker's own id, as it gives it to claims." }),
    jobKinds: t.field({
      type: [JobKindEnum],
      description: "The kinds of the jobs that it holds.",
      resolve: ({ jobKinds }) => [...jobKinds],
    }),
    leases: t.exposeInt("leases", {
      description: "The number of its leases that have not expired. 0 shortly before its jobs are taken from it.",
    }),
    lastHeard: t.expose("lastHeard", {
      type: "DateTime",
      description: "When it last claimed a job or renewed a lease, of those that it holds.",
    }),
  }),
});

const byId: KeyCodec<WorkerRow, string> = {
  keyOf: ({ workerId }) => [workerId],
  schema: z.tuple([z.string().max(200)]).transform(([workerId]) => workerId),
};

builder.queryField("workers", (t) =>
  t.connection(
    {
      permission: "JOBS_READ",
      type: Worker,
      description:
        "The workers that hold jobs of the workspace, by their ids. `workflowRuns` tells what each of them holds.",
      complexity: pageComplexity,
      resolve: async (_root, args, { engine, viewer: { workspaceId } }) => {
        const slice = toSlice(args, byId);
        return toPage(await within([workspaceId], () => listWorkers(engine.prisma, workspaceId, slice)), slice, byId);
      },
    },
    { name: "WorkerConnection", description: "A page of workers." },
    { name: "WorkerEdge", description: "A worker and its position in the list." },
  ),
);
