import type { NodeExecution as Node, WorkflowRun as Run } from "../../db/generated/client/client.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { JobStateEnum } from "../enums.ts";
import { toNode } from "../reads.ts";

export const NodeExecution = builder.node(builder.objectRef<Node>("NodeExecution"), {
  id: { resolve: ({ id }) => id, description: "Global id (Relay)." },
  loadWithoutCache: async (id, { reads, viewer: { workspaceId } }) =>
    toNode(await reads.node({ workspaceId, id: uuidOrNil(id) })),
  description: "One execution of a step of a run; every execution is kept [HSK-WF-001].",
  fields: (t) => ({
    nodeId: t.exposeString("nodeId", { description: "The step's name, unique among the run's open steps." }),
    nodeType: t.exposeString("nodeType", { description: "What sort of step, such as `llm_call` or `tool`." }),
    sequence: t.exposeInt("sequence", { description: "Its number in the run, from 1, given by the server." }),
    dependsOn: t.exposeStringList("dependsOn", {
      description: "Ids of the nodes that had to have succeeded before it started.",
    }),
    state: t.expose("state", {
      type: JobStateEnum,
      description: "RUNNING when started, COMPLETED when succeeded, else FAILED, CANCELLED or POISONED.",
    }),
    inputPayload: t.expose("inputPayload", { type: "JSON", nullable: true, description: "What it started with." }),
    outputPayload: t.expose("outputPayload", { type: "JSON", nullable: true, description: "What came of it." }),
    errorMessage: t.exposeString("errorMessage", { nullable: true, description: "Why it failed." }),
    startedAt: t.expose("startedAt", { type: "DateTime", description: "When it was reported as started." }),
    finishedAt: t.expose("finishedAt", { type: "DateTime", nullable: true, description: "When it ended." }),
  }),
});

export const WorkflowRun = builder.node(builder.objectRef<Run>("WorkflowRun"), {
  id: { resolve: ({ id }) => id, description: "Global id (Relay)." },
  loadWithoutCache: async (id, { reads, viewer: { workspaceId } }) =>
    toNode(await reads.run({ workspaceId, id: uuidOrNil(id) })),
  description: "One attempt at a job; a job has many over its life, at most one that is active (section 1).",
  fields: (t) => ({
    workflowRunId: t.expose("id", { type: "UUID", description: "The run's own id: a UUIDv7." }),
    attempt: t.exposeInt("attempt", { description: "Which attempt, from 1." }),
    state: t.expose("state", { type: JobStateEnum, description: "Where it stands; never QUEUED." }),
    workerId: t.exposeString("workerId", { description: "The worker that took the job." }),
    leaseExpiresAt: t.expose("leaseExpiresAt", {
      type: "DateTime",
      nullable: true,
      description: "When the worker's lease ends unless it is renewed; null where the run has none (any more).",
    }),
    lastHeartbeat: t.expose("lastHeartbeat", { type: "DateTime", description: "When the lease was last renewed." }),
    errorMessage: t.exposeString("errorMessage", { nullable: true, description: "Why it did not succeed." }),
    startedAt: t.expose("startedAt", { type: "DateTime", description: "When the job was taken." }),
    finishedAt: t.expose("finishedAt", { type: "DateTime", nullable: true, description: "When it ended." }),
  }),
});

builder.queryField("workflowRun", (t) =>
  t.field({
    type: WorkflowRun,
    nullable: true,
    description: "A run by its id; null where there is none in this workspace.",
    args: { workflowRunId: t.arg({ type: "UUID", required: true, description: "The run's own id." }) },
    resolve: async (_root, { workflowRunId: id }, { reads, viewer: { workspaceId } }) => {
      const [run] = await reads.run({ workspaceId, id });
      return run;
    },
  }),
);
