import { type AiJob, type FlightRecorderEvent, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { type JobField, jobColumns } from "../db/job-columns.ts";
import { type Label, labelsOf } from "../db/job-labels.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { EVENT_COLUMNS } from "../db/rows.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import { comparePositions, LOG_START, type LogPosition } from "./cursor.ts";
import { isStop, type WorkerRef } from "./stop.ts";

/** Reads of the event log in its own order (section 4). */

/** The most events that one read of the feed returns. */
export const FEED_PAGE_SIZE = 500;
/** The most events that one subscriber reads at once: thousands of them may each have a page in memory. */
export const CATCH_UP_PAGE_SIZE = 100;

/**
 * Joins the version before that of an event `e`, as `before.version`. OFFSET 0 keeps it a column: a subtraction may fail, and under
 * row-level security no expression that may fail is a condition of an index (section 11).
 */
export const VERSION_BEFORE = Prisma.sql`CROSS JOIN LATERAL (SELECT e.version - 1 AS version OFFSET 0) AS before`;

/**
 * Which events may be read: an open transaction may yet add events beyond the watermark, and a reader that had gone past them
 * would never see them (section 4). In parentheses, so that a statement asks for the watermark once.
 */
export const IS_BELOW_WATERMARK = Prisma.sql`order_xid < (SELECT log_watermark())`;

/** The log at one moment (sections 4 and 10). */
export interface LogState {
  /** The id of the log; a new one when the log did not go on where it had been. */
  readonly epoch: string;
  /** When the epoch began, and why. */
  readonly beganAt: Date;
  readonly reason: string;
  /** All events after this position are kept; earlier ones may have been removed by retention. */
  readonly start: LogPosition;
  /**
   * The last event below the watermark: no event can appear before it any more. It may lie before that of an earlier read, and
   * that one holds, too.
   */
  readonly watermark: LogPosition;
  /** The last event of all. */
  readonly end: LogPosition;
  /** Whether there are events beyond the ids that this PostgreSQL server has given: new ones would come before them. */
  readonly isBeyondIds: boolean;
  /** Whether the event of each position that was asked about still stands, with its hash. */
  readonly stands: boolean;
}

type LogStateRow = Pick<LogState, "epoch" | "beganAt" | "reason" | "isBeyondIds" | "stands"> & {
  readonly keptFrom: bigint;
  readonly watermark: JsonPosition | null;
  readonly end: JsonPosition | null;
};

/** A position as the statement returns it: a bigint is not exact in JSON. */
type JsonPosition = Omit<LogPosition, "orderXid"> & { readonly orderXid: string };

/** There is one log, and the feed reads it for the subscribers of all workspaces. */
const FEED = allWorkspaces("feed");

/**
 * Reads the log's epoch and boundaries in one statement, and so of one snapshot.
 * @param positions positions that must still stand.
 */
export async function readLogState(prisma: PrismaClient, positions: readonly LogPosition[] = []): Promise<LogState> {
  const asked = positions.filter(({ hash }) => hash !== "");
  const stands = asked.length === 0 ? Prisma.sql`true` : allStand(asked);
  const [row] = await within(
    FEED,
    () => prisma.$queryRaw<LogStateRow[]>`
    ${PREPARE_MARKER} SELECT epoch::text AS epoch, began_at AS "beganAt", reason, kept_from AS "keptFrom",
      ${lastEvent(Prisma.sql`WHERE ${IS_BELOW_WATERMARK}`)} AS watermark, ${lastEvent(Prisma.empty)} AS end,
      coalesce(greatest((SELECT max(order_xid) FROM flight_recorder_events),
        (SELECT max(order_xid) FROM usage_entries)) >= log_end(), false) AS "isBeyondIds",
      ${stands} AS stands
    FROM event_log`,
  );
  if (!row) throw new Error("The database has no event log.");
  const { keptFrom, watermark, end, ...state } = row;
  const start = { ...LOG_START, orderXid: keptFrom };
  return { ...state, start, watermark: fromJson(watermark) ?? start, end: fromJson(end) ?? start };
}

function lastEvent(condition: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`(
    SELECT json_build_object('orderXid', order_xid::text, 'jobId', job_id, 'version', version, 'hash', hash)
    FROM flight_recorder_events ${condition} ORDER BY order_xid DESC, job_id DESC, version DESC LIMIT 1)`;
}

function allStand(positions: readonly LogPosition[]): Prisma.Sql {
  // Field by field: a position may be a whole event.
  const rows = JSON.stringify(
    positions.map(({ orderXid, jobId, version, hash }) => ({ orderXid: String(orderXid), jobId, version, hash })),
  );
  return Prisma.sql`NOT EXISTS (
    SELECT FROM json_to_recordset(${rows}::json) AS p("orderXid" bigint, "jobId" uuid, version int, hash text)
    WHERE NOT EXISTS (
      SELECT FROM flight_recorder_events e
      WHERE e.job_id = p."jobId" AND e.version = p.version AND e.order_xid = p."orderXid" AND starts_with(e.hash, p.hash)
    ))`;
}

function fromJson(position: JsonPosition | null): LogPosition | undefined {
  return position ? { ...position, orderXid: BigInt(position.orderXid) } : undefined;
}

/** A page of the log after a position. */
export interface NewEvents {
  /** Whether the position's own event is there with its hash, so that the log goes on from it. */
  readonly continues: boolean;
  readonly events: readonly LoggedEvent[];
}

/**
 * Reads events after a position and below the watermark, in log order, at most FEED_PAGE_SIZE. The position's own event is
 * read, too: only where it still stands may the reader go on. It was below the watermark once, so it may be read however far
 * back the watermark is now.
 */
export async function readNewEvents(prisma: PrismaClient, after: LogPosition): Promise<NewEvents> {
  return toNewEvents(after, await within(FEED, () => prisma.$queryRaw<EventRow[]>(selectNewEvents(after))));
}

/** The statement of `readNewEvents`; its rows are for `toNewEvents`. */
export function selectNewEvents(after: LogPosition): Prisma.Sql {
  const isSafe = Prisma.sql`order_xid < greatest((SELECT log_watermark()), ${after.orderXid + 1n})`;
  return selectEvents({ from: after, isIncluded: true }, isSafe, FEED_PAGE_SIZE + 1);
}

/** Tells from the rows of `selectNewEvents` whether the log goes on, and with which events. */
export function toNewEvents(after: LogPosition, rows: readonly EventRow[]): NewEvents {
  // Before the first event there is none to find again.
  if (after.hash === "") return { continues: true, events: rows.slice(0, FEED_PAGE_SIZE).map(toLoggedEvent) };
  const [own, ...events] = rows;
  const continues = own !== undefined && comparePositions(own, after) === 0 && own.hash.startsWith(after.hash);
  return { continues, events: continues ? events.map(toLoggedEvent) : [] };
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
  const job = jobId === undefined ? Prisma.empty : Prisma.sql`AND job_id = ${jobId}::uuid`;
  const events = Prisma.sql`flight_recorder_events`;
  const condition = Prisma.sql`workspace_id = ${workspaceId}::uuid ${job}`;
  return within([workspaceId], () => readPage(prisma, { events, condition }, after, upTo));
}

/**
 * Reads a page of events after one position and up to and including another, in log order; at most CATCH_UP_PAGE_SIZE.
 * @param source what has the columns of events, and which of its rows.
 */
export async function readPage(
  prisma: PrismaClient,
  { events, condition }: { readonly events: Prisma.Sql; readonly condition: Prisma.Sql },
  after: LogPosition,
  upTo: LogPosition,
): Promise<readonly LoggedEvent[]> {
  const bound = Prisma.sql`(order_xid, job_id, version) <= (${upTo.orderXid}, ${upTo.jobId}::uuid, ${upTo.version})`;
  const place = { from: after, isIncluded: false };
  const select = selectEvents(place, Prisma.sql`${bound} AND ${condition}`, CATCH_UP_PAGE_SIZE, events);
  return (await prisma.$queryRaw<EventRow[]>(select)).map(toLoggedEvent);
}

/**
 * The immutable columns of a job that subscription filters use. They are read with each event, so that filters run in
 * memory. Other columns are not: a document may be megabytes, and is loaded only if a subscription selects it.
 */
const IMMUTABLE_FIELDS = [
  "jobKind",
  "protocolId",
  "capabilityProfileId",
  "parentJobId",
  "rootJobId",
  "idempotencyKey",
  "submittedBy",
  "createdAt",
] as const satisfies readonly JobField[];

/** The immutable part of a job that every event is read with. */
export type ImmutableJob = Pick<AiJob, "jobId" | "traceId" | (typeof IMMUTABLE_FIELDS)[number]> & {
  /** Null for a job without labels: its events cost no look at them. */
  readonly labels: readonly Label[] | null;
};

/** What changes from version to version of a job, as far as filters ask for it. */
export interface JobAtVersion extends Pick<AiJob, "state" | "updatedAt"> {
  /** The worker of the job's latest run; null before the first. */
  readonly workerId: string | null;
}

/** An event, the immutable part of its job, and what else filters ask for. */
export interface LoggedEvent {
  readonly event: FlightRecorderEvent;
  readonly job: ImmutableJob;
  readonly after: JobAtVersion;
  /** The job before the event; null for its first. */
  readonly before: JobAtVersion | null;
  /** The worker from which the event takes its run (`isStop`); null where it takes none. */
  readonly stops: WorkerRef | null;
}

/** A row of `selectEvents`. */
export type EventRow = FlightRecorderEvent &
  Omit<ImmutableJob, "jobId" | "traceId"> & {
    readonly workerId: string | null;
    /** Who claimed the run of that worker. */
    readonly claimedBy: string | null;
    readonly previousWorkerId: string | null;
    /** Null before the first event, and where retention removed the one before. */
    readonly previousUpdatedAt: Date | null;
  };

function selectEvents(
  { from, isIncluded }: { readonly from: LogPosition; readonly isIncluded: boolean },
  which: Prisma.Sql,
  limit: number,
  events = Prisma.sql`flight_recorder_events`,
): Prisma.Sql {
  const isAfter = isIncluded ? Prisma.sql`>=` : Prisma.sql`>`;
  return Prisma.sql`
    ${PREPARE_MARKER} SELECT e.*, ${jobColumns(IMMUTABLE_FIELDS)}, ${labelsOf(Prisma.sql`j`)} AS labels, run.worker_id AS "workerId",
      run.principal_id AS "claimedBy", previous_run.worker_id AS "previousWorkerId", previous.recorded_at AS "previousUpdatedAt"
    FROM (
      SELECT ${EVENT_COLUMNS} FROM ${events}
      WHERE (order_xid, job_id, version) ${isAfter} (${from.orderXid}, ${from.jobId}::uuid, ${from.version}) AND ${which}
      ORDER BY order_xid, job_id, version LIMIT ${limit}) AS e
    JOIN ai_jobs j ON j.job_id = e."jobId"
    LEFT JOIN workflow_runs run ON run.id = e."workflowRunId"
    ${VERSION_BEFORE}
    LEFT JOIN flight_recorder_events previous ON previous.job_id = e."jobId" AND previous.version = before.version
    LEFT JOIN workflow_runs previous_run ON previous_run.id = previous.workflow_run_id
    ORDER BY e."orderXid", e."jobId", e.version`;
}

/** Splits a row into the event and what filters ask for. */
function toLoggedEvent(row: EventRow): LoggedEvent {
  const { jobKind, protocolId, capabilityProfileId, parentJobId, rootJobId, idempotencyKey, ...more } = row;
  const { submittedBy, createdAt, labels, ...rest } = more;
  const { workerId, claimedBy, previousWorkerId, previousUpdatedAt, ...event } = rest;
  const { jobId, traceId, state, previousState, recordedAt } = event;
  const places = { parentJobId, rootJobId, idempotencyKey };
  const submitted = { protocolId, capabilityProfileId, ...places, submittedBy, createdAt, labels };
  return {
    event,
    job: { jobId, traceId, jobKind, ...submitted },
    after: { state, workerId, updatedAt: recordedAt },
    before: previousState && {
      state: previousState,
      workerId: previousWorkerId,
      updatedAt: previousUpdatedAt ?? createdAt,
    },
    stops: workerId !== null && claimedBy !== null && isStop(event) ? { workerId, principalId: claimedBy } : null,
  };
}
