import { z } from "zod";
import type { FlightRecorderEvent as Event } from "../../db/generated/client/client.ts";
import type { EventFilter, EventKey } from "../../log/list.ts";
import { builder, pageComplexity } from "../builder.ts";
import { type KeyCodec, storableDate, toPage, toSlice } from "../connection.ts";
import { RecorderEventTypeEnum } from "../enums.ts";
import { FlightRecorderEventConnection } from "../types/connections.ts";
import { FlightRecorderEvent } from "../types/flight-recorder-event.ts";

/**
 * The compiler compares its fields with those of `EventFilter`: a field that only one of the two has does not compile.
 */
const FlightRecorderFilter = builder.inputType("FlightRecorderFilter", {
  description: "Selects events; every condition that is given must hold.",
  fields: (t) =>
    ({
      jobId: t.field({ type: "UUID", description: "Only events of this job." }),
      traceId: t.field({ type: "UUID", description: "Only events of jobs with this trace." }),
      types: t.field({
        type: [RecorderEventTypeEnum],
        description: "Only events of these types; if left out, of all.",
      }),
      recordedAfter: t.field({ type: "DateTime", description: "Only events recorded later than this." }),
      recordedBefore: t.field({ type: "DateTime", description: "Only events recorded earlier than this." }),
    }) satisfies Record<keyof EventFilter, unknown>,
});

const newestFirst: KeyCodec<Event, EventKey> = {
  keyOf: ({ recordedAt, jobId, version }) => [recordedAt.toISOString(), jobId, version],
  schema: z
    .tuple([storableDate, z.uuid(), z.int32()])
    .transform(([recordedAt, jobId, version]) => ({ recordedAt, jobId, version })),
};

builder.queryField("flightRecorderEvents", (t) =>
  t.connection(
    {
      permission: "JOBS_READ",
      type: FlightRecorderEvent,
      description: "The workspace's events, newest first.",
      complexity: pageComplexity,
      args: { filter: t.arg({ type: FlightRecorderFilter, description: "Which events; if left out, all." }) },
      resolve: async (_root, { filter, ...args }, { lists, viewer: { workspaceId } }) => {
        const slice = toSlice(args, newestFirst);
        return toPage(await lists.events({ workspaceId, filter: filter ?? {}, slice }), slice, newestFirst);
      },
    },
    FlightRecorderEventConnection,
  ),
);
