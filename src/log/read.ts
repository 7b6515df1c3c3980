import { type AiJob, type FlightRecorderEvent, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { type JobField, jobColumns } from "../db/job-columns.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { EVENT_COLUMNS } from "../db/rows.ts";
import { NIL_UUID } from "../uuid.ts";
import type { LogPosition } from "./cursor.ts";

/** Reads of the event log in its own order (section 4). */

/** The most events that one read of the feed returns. */
export const FEED_PAGE_SIZE = 500;
/** The most events that one subscriber reads at once: thousands of them may each have a page in memory. */
export const CATCH_UP_PAGE_SIZE = 100;

/** The log's boundaries at one moment (section 4). */
export interface LogState {
  /** The id of the log (section 10). */
  readonly epoch: string;
  /** All events after this position are kept; earlier ones may have been removed by retention. */
  readonly start: LogPosition;
  /** Every transaction below this position has ended, so no event can appear there any more. */
  readonly watermark: LogPosition;
  /** Every existing event is before this position. */
  readonly end: LogPosition;
}

/** Reads the log's epoch and boundaries in one statement, and so of one snapshot. */
export async function readLogState(prisma: PrismaClient): Promise<LogState> {
  const [row] = await prisma.$queryRaw<{ epoch: string; keptFrom: bigint; xmin: bigint; xmax: bigint }[]>`
    SELECT epoch::text AS epoch, kept_from AS "keptFrom", pg_snapshot_xmin(s)::text::bigint AS xmin,
      pg_snapshot_xmax(s)::text::bigint AS xmax
    FROM event_log, pg_current_snapshot() AS s`;
  if (!row) throw new Error("The database has no event log.");
  const { epoch, keptFrom, xmin, xmax } = row;
  return { epoch, start: positionBefore(keptFrom), watermark: positionBefore(xmin), end: positionBefore(xmax) };
}

/** The position before every event with this `order_xid`. */
function positionBefore(orderXid: bigint): LogPosition {
  return { orderXid, jobId: NIL_UUID, version: 0 };
}

/**
 * Reads events after a position and below the watermark, in log order, at most FEED_PAGE_SIZE. Above the watermark an
 * open transaction may still add events, and a reader that had gone past them would never see them (section 4).
 */
export async function readNewEvents(prisma: PrismaClient, after: LogPosition): Promise<readonly LoggedEvent[]> {
  return (await prisma.$queryRaw<EventRow[]>(selectNewEvents(after))).map(toLoggedEvent);
}

/** The statement of `readNewEvents`; its rows are for `toLoggedEvent`. */
export function selectNewEvents(after: LogPosition): Prisma.Sql {
  return selectEvents(
    after,
    Prisma.sql`order_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`,
    FEED_PAGE_SIZE,
  );
}

/**
 * Reads events of a workspace, or of one of its jobs, after one position and up to and including another, in log order;
 * at most CATCH_UP_PAGE_SIZE. The caller makes sure that `upTo` is not above the watermark.
 */
export async function readEventsBetween(
  prisma: PrismaClient,
  { workspaceId, jobId }: { readonly workspaceId: string; readonly jobId?: string },
  after: LogPosition,
  upTo: LogPosition,
): Promise<readonly LoggedEvent[]> {
  const bound = Prisma.sql`(order_xid, job_id, version) <= (${upTo.orderXid}, ${upTo.jobId}::uuid, ${upTo.version})`;
  const job = jobId === undefined ? Prisma.empty : Prisma.sql`AND job_id = ${jobId}::uuid`;
  const condition = Prisma.sql`${bound} AND workspace_id = ${workspaceId}::uuid ${job}`;
  return (await prisma.$queryRaw<EventRow[]>(selectEvents(after, condition, CATCH_UP_PAGE_SIZE))).map(toLoggedEvent);
}

/**
 * The immutable columns of a job that subscription filters use. They are read with each event, so that filters run in
 * memory. Other columns are not: a document may be megabytes, and is loaded only if a subscription selects it.
 */
const IMMUTABLE_FIELDS = ["jobKind", "protocolId", "parentJobId", "createdAt"] as const satisfies readonly JobField[];

/** The immutable part of a job that every event is read with. */
export type ImmutableJob = Pick<AiJob, "jobId" | (typeof IMMUTABLE_FIELDS)[number]>;

/** An event and the immutable part of its job. */
export interface LoggedEvent {
  readonly event: FlightRecorderEvent;
  readonly job: ImmutableJob;
}

/** A row of the statements above. */
export type EventRow = FlightRecorderEvent & Omit<ImmutableJob, "jobId">;

function selectEvents(after: LogPosition, which: Prisma.Sql, limit: number): Prisma.Sql {
  return Prisma.sql`
    ${PREPARE_MARKER} SELECT e.*, ${jobColumns(IMMUTABLE_FIELDS)}
    FROM (
      SELECT ${EVENT_COLUMNS} FROM flight_recorder_events
      WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version}) AND ${which}
      ORDER BY order_xid, job_id, version LIMIT ${limit}) AS e
    JOIN ai_jobs j ON j.job_id = e."jobId"
    ORDER BY e."orderXid", e."jobId", e.version`;
}

/** Splits a row into the event and the immutable part of its job. */
export function toLoggedEvent({ jobKind, protocolId, parentJobId, createdAt, ...event }: EventRow): LoggedEvent {
  return { event, job: { jobId: event.jobId, jobKind, protocolId, parentJobId, createdAt } };
}
