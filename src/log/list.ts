import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { eventTypeCodes } from "../db/enum-codes.ts";
import { type FlightRecorderEvent, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { RecorderEventType } from "../db/generated/client/enums.ts";
import { EVENT_COLUMNS } from "../db/rows.ts";
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
 * @returns the rows of the slice, in the order in which it takes them: from the end, oldest first.
 */
export function listEvents(
  prisma: PrismaClient,
  workspaceId: string,
  filter: EventFilter,
  { limit, after, before, fromEnd }: Slice<EventKey>,
): Promise<FlightRecorderEvent[]> {
  const { jobId, traceId, recordedAfter, recordedBefore } = filter;
  const direction = fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`;
  const order = Prisma.sql`ORDER BY recorded_at ${direction}, job_id ${direction}, version ${direction} LIMIT ${limit}`;
  const key = Prisma.sql`(recorded_at, job_id, version)`;
  const valueOf = ({ recordedAt, jobId: ofJob, version }: EventKey) =>
    Prisma.sql`(${recordedAt}, ${ofJob}::uuid, ${version})`;
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(after ? [Prisma.sql`${key} < ${valueOf(after)}`] : []),
    ...(before ? [Prisma.sql`${key} > ${valueOf(before)}`] : []),
    ...(jobId == null ? [] : [Prisma.sql`job_id = ${jobId}::uuid`]),
    ...(traceId == null ? [] : [Prisma.sql`trace_id = ${traceId}::uuid`]),
    ...(recordedAfter == null ? [] : [Prisma.sql`recorded_at > ${recordedAfter}`]),
    ...(recordedBefore == null ? [] : [Prisma.sql`recorded_at < ${recordedBefore}`]),
  ];
  const where = Prisma.join(conditions, " AND ");
  // The set removes repeated types, whose events would otherwise be listed twice.
  const types = [...new Set(eventTypeCodes(filter.types ?? undefined))];
  return prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM (
      SELECT of_type.* FROM unnest(${types}::int2[]) AS wanted_type,
        LATERAL (SELECT * FROM flight_recorder_events WHERE type_code = wanted_type AND ${where} ${order}) AS of_type
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
