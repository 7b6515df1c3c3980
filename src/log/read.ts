import { type AiJob, type FlightRecorderEvent, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { type JobField, jobColumns } from "../db/job-columns.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { EVENT_COLUMNS } from "../db/rows.ts";
import { NIL_UUID } from "../uuid.ts";
import type { LogPosition } from "./cursor.ts";

/** Reads of the event log in its own order (section 4). */

/** Events that one read brings at most: for everybody, and for one subscriber, of which there may be thousands. */
export const FEED_PAGE_SIZE = 500;
export const CATCH_UP_PAGE_SIZE = 100;

/** Where the log is at a moment. */
export interface LogState {
  /** Which log it is. */
  readonly epoch: string;
  /** From here on it is whole: what lay before has left by retention. */
  readonly start: LogPosition;
  /** Below here every event has committed. */
  readonly watermark: LogPosition;
  /** No event that there is lies here, or later. */
  readonly end: LogPosition;
}

export async function readLogState(prisma: PrismaClient): Promise<LogState> {
  const [row] = await prisma.$queryRaw<{ epoch: string; kept: bigint; oldest: bigint; newest: bigint }[]>`
    SELECT epoch::text AS epoch, kept_from AS kept, pg_snapshot_xmin(s)::text::bigint AS oldest,
      pg_snapshot_xmax(s)::text::bigint AS newest
    FROM event_log, pg_current_snapshot() AS s`;
  if (!row) throw new Error("The database has no event log.");
  const { epoch, kept, oldest, newest } = row;
  return { epoch, start: positionBefore(kept), watermark: positionBefore(oldest), end: positionBefore(newest) };
}

/** The place before every event of the transactions with this id. */
function positionBefore(orderXid: bigint): LogPosition {
  return { orderXid, jobId: NIL_UUID, version: 0 };
}

/** What has come after a place, as far as no transaction that is still open can add anything to it. */
export async function readNewEvents(prisma: PrismaClient, after: LogPosition): Promise<readonly LoggedEvent[]> {
  return (await prisma.$queryRaw<EventRow[]>(selectNewEvents(after))).map(toLoggedEvent);
}

/** The statement of that. */
export function selectNewEvents(after: LogPosition): Prisma.Sql {
  return selectEvents(
    after,
    Prisma.sql`order_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`,
    FEED_PAGE_SIZE,
  );
}

/** What lies between two places, the second one included, of a workspace or of one job. */
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
 * What never changes in a job's life, as far as filters ask for it: each event is read together with its job's. Of the
 * job no more is read, since a document may be megabytes; whoever wants it loads it when the event is sent.
 */
const ORIGIN_FIELDS = ["jobKind", "protocolId", "parentJobId", "createdAt"] as const satisfies readonly JobField[];

export type JobOrigin = Pick<AiJob, "jobId" | (typeof ORIGIN_FIELDS)[number]>;

/** An event, and what its job has been from the start. */
export interface LoggedEvent {
  readonly event: FlightRecorderEvent;
  readonly job: JobOrigin;
}

/** A row of the statements that read events. */
export type EventRow = FlightRecorderEvent & Omit<JobOrigin, "jobId">;

function selectEvents(after: LogPosition, which: Prisma.Sql, limit: number): Prisma.Sql {
  return Prisma.sql`
    ${FORCED_GENERIC_PLAN} SELECT e.*, ${jobColumns(ORIGIN_FIELDS)}
    FROM (
      SELECT ${EVENT_COLUMNS} FROM flight_recorder_events
      WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version}) AND ${which}
      ORDER BY order_xid, job_id, version LIMIT ${limit}) AS e
    JOIN ai_jobs j ON j.job_id = e."jobId"
    ORDER BY e."orderXid", e."jobId", e.version`;
}

export function toLoggedEvent({ jobKind, protocolId, parentJobId, createdAt, ...event }: EventRow): LoggedEvent {
  return { event, job: { jobId: event.jobId, jobKind, protocolId, parentJobId, createdAt } };
}
