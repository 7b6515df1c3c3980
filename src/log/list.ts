import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { type FlightRecorderEvent, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { RecorderEventType } from "../db/generated/client/enums.ts";
import { EVENT_COLUMNS, toDbEnum } from "../db/rows.ts";
import { type Slice, sliceClauses } from "../db/slice.ts";

/** Lists of events for clients that page through them. read.ts reads the log in log order, for the feed. */

/** A filter for events: all conditions that are set must hold. */
export interface EventFilter {
  readonly jobId?: string | null | undefined;
  readonly traceId?: string | null | undefined;
  readonly types?: readonly RecorderEventType[] | null | undefined;
  readonly recordedAfter?: Date | null | undefined;
  readonly recordedBefore?: Date | null | undefined;
}

/** The sort key of an event in the list. */
export interface EventKey {
  readonly recordedAt: Date;
  readonly jobId: string;
  readonly version: number;
}

/**
 * Lists a page of a workspace's events that match, newest first. Each event type is scanned separately, because in the
 * index the type comes before the time: every scan then stops after `limit` rows, instead of reading all events to sort them.
 */
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
  // The set removes repeated types, whose events would otherwise be listed twice.
  const types = [...new Set(filter.types ?? Object.values(RecorderEventType))].map((type) => toDbEnum(type));
  return prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM (
      SELECT newest_of_type.* FROM unnest(${types}::text[]::"RecorderEventType"[]) AS wanted_type,
        LATERAL (SELECT * FROM flight_recorder_events WHERE type = wanted_type AND ${where} ${order}) AS newest_of_type
    ) AS event ${order}`;
}

/** Lists one page of events for each of several jobs; the events of a job are in the order of their versions. */
export function listEventsOfJobs(
  prisma: PrismaClient,
  jobs: readonly ScopedId[],
  slice: Slice<number>,
): Promise<FlightRecorderEvent[]> {
  return prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM ${scopedIdTable(jobs)}, LATERAL (
      SELECT * FROM flight_recorder_events WHERE job_id = requested_id AND workspace_id = requested_workspace_id
      ${sliceClauses(Prisma.sql`version`, slice)}) AS event`;
}
