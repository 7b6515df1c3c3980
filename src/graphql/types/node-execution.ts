import type { NodeExecution as Node } from "../../db/generated/client/client.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { JobStateEnum } from "../enums.ts";
import { toNode } from "../reads.ts";

export const NodeExecution = builder.node(builder.objectRef<Node>("NodeExecution"), {
  // A worker without JOBS_READ loads the steps of the jobs of which it holds the lease.
  extensions: { permission: "JOBS_READ", partlyWith: "JOBS_WORK" },
  id: { resolve: ({ id }) => id, description: "Global id (Relay)." },
  loadWithoutCache: async (id, { reads, viewer: { workspaceId, permissions, principal } }) => {
    const scopedId = { workspaceId, id: uuidOrNil(id) };
    return toNode(
      await (permissions.has("JOBS_READ")
        ? reads.node(scopedId)
        : reads.nodeOfHolder(scopedId, { principalId: principal.name })),
    );
  },
  description: "One execution of a step of a run; every execution is kept [HSK-WF-001] (section 3).",
  fields: (t) => ({
    nodeId: t.exposeString("nodeId", { description: "The step's name, unique among the open steps of the run." }),
    nodeType: t.exposeString("nodeType", { description: "The type of the step, such as `llm_call` or `tool`." }),
    sequence: t.exposeInt("sequence", { description: "The execution's number in its run, from 1; set by the server." }),
    dependsOn: t.exposeStringList("dependsOn", {
      description: "The nodeIds of steps that had to succeed before this one started.",
    }),
    state: t.expose("state", {
      type: JobStateEnum,
      description:
        "RUNNING once started, COMPLETED once succeeded, FAILED once failed. A node that is open when its run ends takes the " +
        "state of the run: FAILED, STALLED, CANCELLED or POISONED.",
    }),
    inputPayload: t.expose("inputPayload", { type: "JSON", nullable: true, description: "The input of the step." }),
    outputPayload: t.expose("outputPayload", { type: "JSON", nullable: true, description: "The output of the step." }),
    errorMessage: t.exposeString("errorMessage", { nullable: true, description: "Why the step failed." }),
    startedAt: t.expose("startedAt", { type: "DateTime", description: "When the step was reported as started." }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the execution ended; null while it is open.",
    }),
  }),
});
