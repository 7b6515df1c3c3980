import { Prisma } from "../db/generated/client/client.ts";
import { type JobState, RecorderEventType } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import { conditionsOf, enumIn, type JobFilter } from "./filter.ts";

/** Jobs by the time of their last change. No index has that time: each version of a job would have to keep it up to date. */

/** A page of such a list. */
export interface UpdatePage {
  /** @returns the conditions of the page's bounds, on the columns of a time and of a job's id. */
  readonly bounds: (time: Prisma.Sql) => readonly Prisma.Sql[];
  /** The direction in which the rows are read. */
  readonly way: Prisma.Sql;
  readonly limit: number;
}

/** @returns a SELECT of the jobs of the page, in any order. */
export function selectByUpdate(workspaceId: string, filter: JobFilter, page: UpdatePage): Prisma.Sql {
  return isShortList(filter) ? selectBySorting(workspaceId, filter, page) : selectByLog(workspaceId, filter, page);
}

/** States that few jobs are in at a time: each of them keeps a worker or a person busy. */
const SHORT_STATES: ReadonlySet<JobState> = new Set(["RUNNING", "STALLED", "AWAITING_VALIDATION", "AWAITING_USER"]);

/** Whether the jobs that match are few enough to be sorted. */
export function isShortList({ states }: JobFilter): boolean {
  return states != null && states.every((state) => SHORT_STATES.has(state));
}

function selectBySorting(workspaceId: string, filter: JobFilter, { bounds, way, limit }: UpdatePage): Prisma.Sql {
  return Prisma.sql`
    SELECT * FROM ai_jobs WHERE ${matching(workspaceId, filter, bounds(Prisma.sql`updated_at`))}
    ORDER BY updated_at ${way}, job_id ${way} LIMIT ${limit}`;
}

const EVENT_TYPES = Object.values(RecorderEventType).map((type) => toDbEnum(type));

/**
 * Each version of a job has an event of the same time: the workspace's events are read from one end on, and those that are not
 * their job's latest are passed over. There is one scan for each type, since the index has the type before the time. Each is
 * ordered, although the whole is, too: only so does PostgreSQL merge them as it reads (a merge append) and stop at the limit;
 * otherwise it reads all events and sorts them.
 */
function selectByLog(workspaceId: string, filter: JobFilter, { bounds, way, limit }: UpdatePage): Prisma.Sql {
  const inPage = [Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...bounds(Prisma.sql`recorded_at`)];
  const scans = EVENT_TYPES.map(
    (type) => Prisma.sql`(
      SELECT job_id, version, recorded_at FROM flight_recorder_events
      WHERE type = ${type}::"RecorderEventType" AND ${Prisma.join(inPage, " AND ")}
      ORDER BY recorded_at ${way}, job_id ${way})`,
  );
  return Prisma.sql`
    SELECT found.* FROM (${Prisma.join(scans, " UNION ALL ")}) AS logged, LATERAL (
      SELECT * FROM ai_jobs
      WHERE job_id = logged.job_id AND version = logged.version AND ${matching(workspaceId, filter, [])}) AS found
    ORDER BY logged.recorded_at ${way}, logged.job_id ${way} LIMIT ${limit}`;
}

function matching(workspaceId: string, filter: JobFilter, bounds: readonly Prisma.Sql[]): Prisma.Sql {
  const conditions = conditionsOf(filter).map(({ sql }) => ("column" in sql ? enumIn(sql) : sql));
  return Prisma.join([Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...bounds, ...conditions], " AND ");
}
