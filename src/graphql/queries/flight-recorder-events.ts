import { z } from "zod";
import type { FlightRecorderEvent as Event } from "../../db/generated/client/client.ts";
import { encodeCursor } from "../../log/cursor.ts";
import type { EventFilter } from "../../log/list.ts";
import { uuidOrNil } from "../../uuid.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, moment, toPage, toSlice } from "../connection.ts";
import { JobStateEnum, RecorderActorEnum, RecorderEventTypeEnum } from "../enums.ts";
import { JobMetrics } from "../types/job-metrics.ts";

export const FlightRecorderEvent = builder.prismaNode("FlightRecorderEvent", {
  nullable: true,
  id: { resolve: ({ jobId, version }) => `${jobId}:${version}`, description: "Global id (Relay)." },
  findUnique: (id, { viewer }) => {
    const [jobId = "", version = ""] = id.split(":");
    const key = { jobId: uuidOrNil(jobId), version: /^\d{1,9}$/.test(version) ? Number(version) : 0 };
    return { jobId_version: key, workspaceId: viewer.workspaceId };
  },
  description: "What happened to a job, once and for all: append-only, and chained by hash (section 9).",
  fields: (t) => ({
    eventId: t.expose("eventId", { type: "UUID", description: "The event's own id: a UUIDv7." }),
    cursor: t.field({
      type: "Cursor",
      description: "The event's place in the log: a subscription continues after it.",
      resolve: async (event, _args, { feed }) => encodeCursor(await feed.epoch(), event),
    }),
    jobId: t.expose("jobId", { type: "UUID", description: "The job that it is about." }),
    workspaceId: t.expose("workspaceId", { type: "UUID", description: "The job's workspace." }),
    version: t.exposeInt("version", { description: "The version of the job that this event made." }),
    traceId: t.expose("traceId", { type: "UUID", description: "The job's trace." }),
    workflowRunId: t.expose("workflowRunId", {
      type: "UUID",
      nullable: true,
      description: "The run that it is about; null before the first.",
    }),
    type: t.expose("type", { type: RecorderEventTypeEnum, description: "What sort of event it is." }),
    actor: t.expose("actor", { type: RecorderActorEnum, description: "Who made the change." }),
    actorId: t.exposeString("actorId", { description: "Which one: a worker's id, `anonymous`, `workflow-engine`." }),
    state: t.expose("state", { type: JobStateEnum, description: "The job's state after it." }),
    previousState: t.expose("previousState", {
      type: JobStateEnum,
      nullable: true,
      description: "The job's state before it; null for the first event.",
    }),
    metrics: t.field({ type: JobMetrics, description: "The job's metrics after it.", resolve: (event) => event }),
    capabilityId: t.exposeString("capabilityId", {
      nullable: true,
      description: "The capability that allowed, or denied, the change.",
    }),
    payload: t.expose("payload", { type: "JSON", description: "Details, redacted; their keys follow from the type." }),
    recordedAt: t.expose("recordedAt", { type: "DateTime", description: "When it was recorded." }),
    prevHash: t.exposeString("prevHash", {
      description: "The hash of the job's event before; 64 zeros for the first.",
    }),
    hash: t.exposeString("hash", {
      description: "SHA-256 (hex) over the RFC 8785 canonical JSON of all the event's other fields (section 9).",
    }),
  }),
});

const FlightRecorderFilter = builder.inputType("FlightRecorderFilter", {
  description: "Which events; every condition that is given must hold.",
  fields: (t) =>
    ({
      jobId: t.field({ type: "UUID", description: "Of this job." }),
      traceId: t.field({ type: "UUID", description: "Of this trace." }),
      types: t.field({ type: [RecorderEventTypeEnum], description: "Of these types; of any where it is left out." }),
      recordedAfter: t.field({ type: "DateTime", description: "Recorded later than this." }),
      recordedBefore: t.field({ type: "DateTime", description: "Recorded earlier than this." }),
    }) satisfies Record<keyof EventFilter, unknown>,
});

const place = z
  .tuple([moment, z.uuid(), z.int32()])
  .transform(([recordedAt, jobId, version]) => ({ recordedAt, jobId, version }));

const byTime: KeyCodec<Event, z.output<typeof place>> = {
  keyOf: ({ recordedAt, jobId, version }) => [recordedAt.toISOString(), jobId, version],
  schema: place,
};

builder.queryField("flightRecorderEvents", (t) =>
  t.connection({
    type: FlightRecorderEvent,
    description: "The workspace's events, newest first.",
    complexity: pageComplexity,
    args: { filter: t.arg({ type: FlightRecorderFilter, description: "Which events; all where it is left out." }) },
    resolve: async (_root, { filter: given, first, after }, { lists, viewer: { workspaceId } }) => {
      const slice = toSlice({ first, after }, byTime);
      const filter = given ?? {};
      return toPage(await lists.events({ workspaceId, filter, slice }), slice, byTime);
    },
  }),
);
