import { EVENT_COLUMNS } from "../storage/columns.ts";
import { type FlightRecorderEvent, Prisma, type PrismaClient } from "../storage/generated/client/client.ts";
import { PLANNED_ONCE } from "../storage/planned-once.ts";
import type { LogPosition } from "./cursor.ts";
import type { FeedItem, FeedScope, JobOrigin } from "./subscriber.ts";

/** Reads of the event log in its own order (section 4). */

/** Events that one read brings at most: for everybody, and for one subscriber, of which there may be thousands. */
export const PAGE = 500;
export const OWN_PAGE = 100;
const ZERO_UUID = "00000000-0000-0000-0000-000000000000";

/** Where the log is at a moment. */
export interface LogState {
  /** Which log it is. */
  readonly epoch: string;
  /** From here on it is whole: what lay before has left by retention. */
  readonly start: LogPosition;
  /** Below here every event has committed. */
  readonly horizon: LogPosition;
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
  return { epoch, start: before(kept), horizon: before(oldest), end: before(newest) };
}

/** The place before every event of the transactions with this id. */
function before(orderXid: bigint): LogPosition {
  return { orderXid, jobId: ZERO_UUID, version: 0 };
}

/** What has come after a place, as far as no transaction that is still open can add anything to it. */
export async function readNewEvents(prisma: PrismaClient, after: LogPosition): Promise<readonly Unbatched[]> {
  return (await prisma.$queryRaw<EventRow[]>(newEvents(after))).map(toUnbatched);
}

/** The statement of that. */
export function newEvents(after: LogPosition): Prisma.Sql {
  return events(after, Prisma.sql`order_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`, PAGE);
}

/** What lies between two places, the second one included, of a workspace or of one job. */
export async function readEventsBetween(
  prisma: PrismaClient,
  { workspaceId, jobId }: FeedScope,
  after: LogPosition,
  upTo: LogPosition,
): Promise<readonly Unbatched[]> {
  const bound = Prisma.sql`(order_xid, job_id, version) <= (${upTo.orderXid}, ${upTo.jobId}::uuid, ${upTo.version})`;
  const job = jobId === undefined ? Prisma.empty : Prisma.sql`AND job_id = ${jobId}::uuid`;
  const which = Prisma.sql`${bound} AND workspace_id = ${workspaceId}::uuid ${job}`;
  return (await prisma.$queryRaw<EventRow[]>(events(after, which, OWN_PAGE))).map(toUnbatched);
}

/** An event as it is read, not yet one of a batch. */
export type Unbatched = Omit<FeedItem, "batch">;

/** A row of the statements that read events. */
export type EventRow = FlightRecorderEvent & Omit<JobOrigin, "jobId">;

/** Of the jobs only what never changes: a document may be megabytes, and whoever wants it loads it when it is sent. */
function events(after: LogPosition, which: Prisma.Sql, limit: number): Prisma.Sql {
  return Prisma.sql`
    ${PLANNED_ONCE} SELECT e.*, upper(j.job_kind::text) AS "jobKind", j.protocol_id AS "protocolId", j.parent_job_id AS "parentJobId",
      j.created_at AS "createdAt"
    FROM (
      SELECT ${EVENT_COLUMNS} FROM flight_recorder_events
      WHERE (order_xid, job_id, version) > (${after.orderXid}, ${after.jobId}::uuid, ${after.version}) AND ${which}
      ORDER BY order_xid, job_id, version LIMIT ${limit}) AS e
    JOIN ai_jobs j ON j.job_id = e."jobId"
    ORDER BY e."orderXid", e."jobId", e.version`;
}

export function toUnbatched({ jobKind, protocolId, parentJobId, createdAt, ...event }: EventRow): Unbatched {
  return { event, job: { jobId: event.jobId, jobKind, protocolId, parentJobId, createdAt } };
}
