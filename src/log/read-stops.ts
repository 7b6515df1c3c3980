import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { allWorkspaces, within } from "../db/scope.ts";
import type { LogPosition } from "./cursor.ts";
import { type LoggedEvent, readPage } from "./read.ts";
import { IS_STOP, type WorkerRef } from "./stop.ts";

/** Reads of the stops of one worker (`stop.ts`), of its runs alone, however long the log is. */

/** Which stops of a worker are read. */
export interface StopsOfWorker extends WorkerRef {
  /** Only those of runs that finished at this time or later. */
  readonly since: Date;
}

/** The stops of the runs of one worker. */
export interface StopsScope {
  /** Null for the runs of every workspace, which a worker of the whole deployment serves. */
  readonly workspaceId: string | null;
  readonly worker: StopsOfWorker;
}

/** A worker of the whole deployment may hold runs of every workspace. */
const EVERY_WORKSPACE = allWorkspaces("feed");

/**
 * How far before the time of a cursor's event a stop can lie that comes after it in the log, in seconds. Events of one moment may
 * be logged in another order than that of their times, and the clock of a server that takes over may be behind; a day is more
 * than both, and it bounds what is read.
 */
const CLOCK_TOLERANCE_SECONDS = 86_400;

/**
 * Reads since when the runs finished whose stops a worker is to be told.
 * @param from the position that the worker goes on from.
 * @param lastSeconds how far back it begins where there is none, or where it names no event: it is the start of the log.
 */
export async function readStopsSince(
  prisma: PrismaClient,
  from: LogPosition | undefined,
  lastSeconds: number,
): Promise<Date> {
  const ofCursor = from
    ? Prisma.sql`(SELECT recorded_at FROM flight_recorder_events
        WHERE job_id = ${from.jobId}::uuid AND version = ${from.version}) - make_interval(secs => ${CLOCK_TOLERANCE_SECONDS})`
    : Prisma.sql`NULL`;
  const since = Prisma.sql`coalesce(${ofCursor}, statement_timestamp() - make_interval(secs => ${lastSeconds}))`;
  const [row] = await within(
    EVERY_WORKSPACE,
    () => prisma.$queryRaw<{ readonly since: Date }[]>`${PREPARE_MARKER} SELECT ${since} AS since`,
  );
  if (!row) throw new Error("A SELECT without FROM has one row.");
  return row.since;
}

/**
 * Reads the stops of a worker after one position and up to and including another, in log order, a page at most. The
 * caller makes sure that `upTo` is not above the watermark.
 */
export function readStopsBetween(
  prisma: PrismaClient,
  { workspaceId, worker: { workerId, principalId, since } }: StopsScope,
  after: LogPosition,
  upTo: LogPosition,
): Promise<readonly LoggedEvent[]> {
  const ofWorkspace = workspaceId === null ? Prisma.empty : Prisma.sql`AND workspace_id = ${workspaceId}::uuid`;
  // OFFSET 0, so that they are found by their runs: by their places, in the order of the log, all events would be passed over.
  const stops = Prisma.sql`(
    SELECT * FROM flight_recorder_events
    WHERE ${IS_STOP} ${ofWorkspace} AND workflow_run_id = ANY(ARRAY(
      SELECT id FROM workflow_runs
      WHERE principal_id = ${principalId} AND worker_id = ${workerId} AND finished_at >= ${since} ${ofWorkspace}
        AND state IN ('failed', 'cancelled', 'poisoned', 'stalled')))
    OFFSET 0) AS stops`;
  const scope = workspaceId === null ? EVERY_WORKSPACE : [workspaceId];
  return within(scope, () => readPage(prisma, { events: stops, condition: Prisma.sql`true` }, after, upTo));
}
