import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { type FlightRecorderEvent, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { RecorderEventType } from "../db/generated/client/enums.ts";
import { EVENT_COLUMNS, toDbEnum } from "../db/rows.ts";
import { type Slice, sliceClauses } from "../db/slice.ts";

/** Reads of events as lists that clients page through; read.ts reads the log in its own order, for the feed. */

/** Which events: every condition that is given must hold. */
export interface EventFilter {
  readonly jobId?: string | null | undefined;
  readonly traceId?: string | null | undefined;
  readonly types?: readonly RecorderEventType[] | null | undefined;
  readonly recordedAfter?: Date | null | undefined;
  readonly recordedBefore?: Date | null | undefined;
}

/** Where an event stands in the list: newest first. */
export interface EventKey {
  readonly recordedAt: Date;
  readonly jobId: string;
  readonly version: number;
}

/** Events that match, newest first. Each type that is asked for is a walk of its own along the index that it leads. */
export function listEvents(
  prisma: PrismaClient,
  workspaceId: string,
  filter: EventFilter,
  { limit, after }: Slice<EventKey>,
): Promise<FlightRecorderEvent[]> {
  const { jobId, traceId, recordedAfter, recordedBefore } = filter;
  const order = Prisma.sql`ORDER BY recorded_at DESC, job_id DESC, version DESC LIMIT ${limit}`;
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(after
      ? [Prisma.sql`(recorded_at, job_id, version) < (${after.recordedAt}, ${after.jobId}::uuid, ${after.version})`]
      : []),
    ...(jobId == null ? [] : [Prisma.sql`job_id = ${jobId}::uuid`]),
    ...(traceId == null ? [] : [Prisma.sql`trace_id = ${traceId}::uuid`]),
    ...(recordedAfter == null ? [] : [Prisma.sql`recorded_at > ${recordedAfter}`]),
    ...(recordedBefore == null ? [] : [Prisma.sql`recorded_at < ${recordedBefore}`]),
  ];
  const where = Prisma.join(conditions, " AND ");
  // Without the set, events of a type that is named twice would be listed twice.
  const types = [...new Set(filter.types ?? Object.values(RecorderEventType))].map((type) => toDbEnum(type));
  return prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM (
      SELECT one.* FROM unnest(${types}::text[]::"RecorderEventType"[]) AS wanted,
        LATERAL (SELECT * FROM flight_recorder_events WHERE type = wanted AND ${where} ${order}) AS one
    ) AS event ${order}`;
}

/** Part of the events of several jobs, those of a job in the order of their versions. */
export function listEventsOfJobs(
  prisma: PrismaClient,
  jobs: readonly ScopedId[],
  slice: Slice<number>,
): Promise<FlightRecorderEvent[]> {
  return prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM ${scopedIdTable(jobs)}, LATERAL (
      SELECT * FROM flight_recorder_events WHERE job_id = asked_id AND workspace_id = asked_workspace_id
      ${sliceClauses(Prisma.sql`version`, slice)}) AS event`;
}
