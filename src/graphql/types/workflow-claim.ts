import { encodeGlobalID } from "@pothos/plugin-relay";
import type { Claim } from "../../claims/acquire-lease.ts";
import type { CompletedNode as Completed } from "../../runs/list.ts";
import { builder } from "../builder.ts";
import { namesBelow } from "../connection.ts";
import { AiJob, jobFieldsOf } from "./ai-job.ts";
import { UserAnswer } from "./user-input-request.ts";
import { WorkflowRun } from "./workflow-run.ts";

/** A tree has at most so many descendants, so a job has no more children. */
const MAX_CHILDREN = 1000;

const CompletedNode = builder.objectRef<Completed>("CompletedNode").implement({
  description:
    "A step that succeeded in an earlier run of the job, for the new run to go on from (section 13): a worker that takes its output " +
    "instead of running the step again repeats no model call.",
  fields: (t) => ({
    nodeId: t.exposeString("nodeId", { description: "The step's name." }),
    nodeType: t.exposeString("nodeType", { description: "The type of the step." }),
    stepId: t.id({
      description: "The global id of the execution (NodeExecution).",
      resolve: ({ nodeExecutionId }) => encodeGlobalID("NodeExecution", nodeExecutionId),
    }),
    input: t.expose("input", {
      type: "JSON",
      nullable: true,
      description:
        "What the step was started with, so that its worker can tell whether it would do the same again; null also where outputIsLeftOut.",
    }),
    output: t.expose("output", {
      type: "JSON",
      nullable: true,
      description: "The output of the step; null also where outputIsLeftOut.",
    }),
    outputIsLeftOut: t.exposeBoolean("outputIsLeftOut", {
      description:
        "Whether input and output were left out, because those before them have 4 MiB already (32 MiB in an answer with several claims): " +
        "load them by stepId, which whoever holds the job's lease may.",
    }),
  }),
});

export const WorkflowClaim = builder.objectRef<Claim>("WorkflowClaim").implement({
  description: "A job that a worker has claimed: the job, the run and the lease.",
  fields: (t) => ({
    job: t.expose("job", { type: AiJob, description: "The job, now RUNNING." }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run to report on.", resolve: ({ run }) => run }),
    leaseToken: t.exposeString("leaseToken", {
      description:
        "The secret that proves the lease in every report. It is shown here only, and stored as a hash (section 9).",
    }),
    leaseExpiresAt: t.field({
      type: "DateTime",
      description: "When the lease ends unless a heartbeat renews it.",
      resolve: ({ run }) => run.leaseExpiresAt ?? run.startedAt,
    }),
    completedNodes: t.field({
      type: [CompletedNode],
      description:
        "What earlier runs of the job have done: of each nodeId the last execution that succeeded, in the order in which they ended. The " +
        "run's steps may name them in dependsOn. Where reviewComment is there, a person wants the work redone: begin anew, unless you " +
        "know better.",
      resolve: async ({ run: { workspaceId, id } }, _args, { reads }) => [
        ...(await reads.completedBeforeRun({ workspaceId, id })),
      ],
    }),
    userAnswers: t.field({
      type: [UserAnswer],
      description:
        "The answers to the questions of earlier runs, oldest first: the latest 100 at most, and 32 MiB in an answer with several claims.",
      resolve: ({ carriedOver }) => [...carriedOver.answers],
    }),
    reviewComment: t.string({
      nullable: true,
      description: "What the person said who sent the job back (REVISE), where that ended the run before; else null.",
      resolve: ({ carriedOver }) => carriedOver.reviewComment,
    }),
    children: t.field({
      type: [AiJob],
      description:
        "The jobs whose parent is this job, newest first, with their states and outputs: at most 1,000, all of which the holder of the " +
        "lease may read.",
      resolve: async ({ job: { workspaceId, jobId: id } }, _args, { reads, readable }, info) => {
        const slice = { limit: MAX_CHILDREN, fromEnd: false };
        const children = await reads.childrenOfJob(
          { workspaceId, id },
          { slice, fields: jobFieldsOf(namesBelow(info), info) },
        );
        for (const child of children) readable.hold(child);
        return [...children];
      },
    }),
  }),
});
