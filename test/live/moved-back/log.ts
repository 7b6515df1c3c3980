import type { PrismaClient } from "../../../src/db/generated/client/client.ts";
import type { JobsScope } from "../../../src/live/subscriber.ts";
import { comparePositions, decodeCursor, type LogPosition } from "../../../src/log/cursor.ts";
import type { Move } from "./step.ts";

/** The stored log, as the checks compare it. */
export interface Log {
  readonly epoch: string;
  /** Of all events, in the log's order. */
  readonly events: readonly LogPosition[];
}

/** Reads the log in one statement, and so of one moment. */
export async function readLog(prisma: PrismaClient): Promise<Log> {
  const [row] = await prisma.$queryRaw<{ epoch: string; events: (LogPosition & { readonly orderXid: string })[] }[]>`
    SELECT epoch::text AS epoch, (
      SELECT coalesce(json_agg(json_build_object('orderXid', order_xid::text, 'jobId', job_id, 'version', version, 'hash', hash)
        ORDER BY order_xid, job_id, version), '[]')
      FROM flight_recorder_events) AS events
    FROM event_log`;
  if (!row) throw new Error("The database has no event log.");
  return { epoch: row.epoch, events: row.events.map((event) => ({ ...event, orderXid: BigInt(event.orderXid) })) };
}

/** An event as text. The beginning of the hash, as cursors have it, tells it from another one under the same position. */
export function label({ jobId, version, hash }: Omit<LogPosition, "orderXid">): string {
  return `${jobId} ${version} ${hash.slice(0, 16)}`;
}

/** What a client must have got, where this is the log: all that is in its scope after its start, in order and once. */
export function eventsFor(
  { scope, start }: { readonly scope: JobsScope; readonly start: LogPosition },
  { events }: Log,
): readonly string[] {
  return events
    .filter((event) => comparePositions(event, start) > 0 && (scope.jobId ?? event.jobId) === event.jobId)
    .map(label);
}

/** Whether a list is the beginning of another one. */
export function isBeginningOf(some: readonly string[], all: readonly string[]): boolean {
  return some.every((each, at) => each === all[at]);
}

/** Whether a cursor is of the log's epoch, and its event is there. */
export function stands({ epoch, events }: Log, cursor: string): boolean {
  const decoded = decodeCursor(cursor);
  if (decoded?.epoch !== epoch) return false;
  const { position } = decoded;
  return (
    position.hash === "" ||
    events.some((event) => label(event) === label(position) && event.orderXid === position.orderXid)
  );
}

/** What a move did to the log. */
export interface Moved extends Pick<Move, "ids" | "isUnseen"> {
  /** The log before it, and the one that was restored. */
  readonly from: Log;
  readonly to: Log;
  /** Whether a server ran all the time, which then knows what there was. */
  readonly isWatched: boolean;
}

/** Whether events are gone. */
export function losesEvents({ from, to }: Moved): boolean {
  return !isBeginningOf(from.events.map(label), to.events.map(label));
}
