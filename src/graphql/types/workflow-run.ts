import type { Run } from "../../db/rows.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { JobStateEnum } from "../enums.ts";
import { toNode } from "../reads.ts";

export const WorkflowRun = builder.node(builder.objectRef<Run>("WorkflowRun"), {
  extensions: { permission: "JOBS_READ" },
  id: { resolve: ({ id }) => id, description: "Global id (Relay)." },
  loadWithoutCache: async (id, { reads, viewer: { workspaceId } }) =>
    toNode(await reads.run({ workspaceId, id: uuidOrNil(id) })),
  description: "One attempt at a job. A job can have many runs over its life, at most one of them active (section 1).",
  fields: (t) => ({
    workflowRunId: t.expose("id", { type: "UUID", description: "The run's id: a UUIDv7." }),
    attempt: t.exposeInt("attempt", { description: "The number of the attempt, from 1." }),
    state: t.expose("state", { type: JobStateEnum, description: "The state of the run; never QUEUED." }),
    workerId: t.exposeString("workerId", { description: "The worker that claimed the job." }),
    leaseExpiresAt: t.expose("leaseExpiresAt", {
      type: "DateTime",
      nullable: true,
      description: "When the worker's lease ends unless it is renewed; null if the run has no lease (any more).",
    }),
    lastHeartbeat: t.expose("lastHeartbeat", { type: "DateTime", description: "When the lease was last renewed." }),
    errorMessage: t.exposeString("errorMessage", { nullable: true, description: "Why the run did not succeed." }),
    outputs: t.field({
      type: "JSON",
      nullable: true,
      description:
        "What the worker completed the run with, whatever became of the job's outputs; their SHA-256 is in the event of the completion " +
        "(`outputs_hash`). Null where it did not complete, and after a poisoning.",
      resolve: async ({ workspaceId, id }, _args, { reads }) =>
        (await reads.outputsOfRun({ workspaceId, id }))[0]?.outputs ?? null,
    }),
    endReason: t.exposeString("endReason", {
      nullable: true,
      description:
        "Why the run ended, for programs: completed, completed_with_issues, failed, rejected, revised, released, released_too_often, " +
        "answered, user_input_timeout, lease_expired, cancelled, poisoned, guard_failed, access_mode_violation, budget_exceeded or " +
        "capability_denied. Null while it is active.",
    }),
    startedAt: t.expose("startedAt", { type: "DateTime", description: "When the job was claimed." }),
    finishedAt: t.expose("finishedAt", {
      type: "DateTime",
      nullable: true,
      description: "When the run ended; null while it is active.",
    }),
  }),
});
