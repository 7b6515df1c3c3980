import { encodeCursor } from "../../log/cursor.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder } from "../builder.ts";
import { JobStateEnum, RecorderActorEnum, RecorderEventTypeEnum } from "../enums.ts";
import { JobMetrics } from "./job-metrics.ts";

export const FlightRecorderEvent = builder.prismaNode("FlightRecorderEvent", {
  nullable: true,
  extensions: { permission: "JOBS_READ" },
  id: { resolve: ({ jobId, version }) => `${jobId}:${version}`, description: "Global id (Relay)." },
  findUnique: (id, { viewer }) => {
    const [jobId = "", version = ""] = id.split(":");
    const key = { jobId: uuidOrNil(jobId), version: /^\d{1,9}$/.test(version) ? Number(version) : 0 };
    return { jobId_version: key, workspaceId: viewer.workspaceId };
  },
  description:
    "An entry of the flight recorder: one version of one job. Events are append-only and chained by hash (section 9).",
  fields: (t) => ({
    eventId: t.expose("eventId", { type: "UUID", description: "The event's id: a UUIDv7." }),
    cursor: t.field({
      type: "Cursor",
      description: "The event's position in the log; pass it as `after` to subscribe to what follows.",
      resolve: async (event, _args, { feed }) => encodeCursor(await feed.epoch(), event),
    }),
    jobId: t.expose("jobId", { type: "UUID", description: "The job that changed." }),
    workspaceId: t.expose("workspaceId", { type: "UUID", description: "The job's workspace." }),
    version: t.exposeInt("version", {
      description: "The job's version after the event; versions count from 1 without gaps.",
    }),
    traceId: t.expose("traceId", {
      type: "UUID",
      description: "The job's trace: the id shared by all jobs of its tree.",
    }),
    workflowRunId: t.expose("workflowRunId", {
      type: "UUID",
      nullable: true,
      description: "The run that the event belongs to; null before the job's first run.",
    }),
    type: t.expose("type", { type: RecorderEventTypeEnum, description: "The type of the event." }),
    actor: t.expose("actor", { type: RecorderActorEnum, description: "Who made the change (section 9)." }),
    actorId: t.exposeString("actorId", {
      description:
        "The actor's id: a worker's workerId, a human's principal such as `key:<id>` or `anonymous`, `workflow-engine` for the server.",
    }),
    principalId: t.exposeString("principalId", {
      nullable: true,
      description:
        "The principal whose request led to the change, such as `key:<id>`, `operator` or `anonymous`; null for what the server " +
        "did by itself (section 11).",
    }),
    state: t.expose("state", { type: JobStateEnum, description: "The job's state after the event." }),
    previousState: t.expose("previousState", {
      type: JobStateEnum,
      nullable: true,
      description: "The job's state before the event; null for the job's first event.",
    }),
    metrics: t.field({
      type: JobMetrics,
      description: "The job's metrics after the event.",
      resolve: (event) => event,
    }),
    capabilityId: t.exposeString("capabilityId", {
      nullable: true,
      description:
        "The capability that was checked and allowed or denied the change; null if none was checked (section 8).",
    }),
    payload: t.expose("payload", {
      type: "JSON",
      description: "Details of the change, with secrets redacted; the type determines its keys (section 9).",
    }),
    recordedAt: t.expose("recordedAt", { type: "DateTime", description: "When the event was recorded." }),
    prevHash: t.exposeString("prevHash", {
      description: "The hash of the job's previous event; 64 zeros for the first.",
    }),
    hash: t.exposeString("hash", {
      description:
        "SHA-256, in lower-case hex, over the RFC 8785 canonical JSON of the event's other fields (section 9).",
    }),
  }),
});
