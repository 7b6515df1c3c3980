import { Prisma } from "../db/generated/client/client.ts";
import { RecorderEventType } from "../db/generated/client/enums.ts";
import { toDbEnum } from "../db/rows.ts";
import { conditionsOf, enumIn, type JobFilter } from "./filter.ts";

/** Jobs by the time of their last change, which only the event log has an index for. */

/** The columns to order by. The time is that of an event: its job's latest has the time at which the job last changed. */
export const LOGGED_AT = Prisma.sql`recorded_at`;
export const LOGGED_JOB_ID = Prisma.sql`logged.job_id`;

const EVENT_TYPES = Object.values(RecorderEventType).map((type) => toDbEnum(type));

/**
 * Builds a SELECT of the jobs that match, by the time of their last change. No index has that time, because each version of a
 * job would have to keep it up to date. But each version has an event of the same time: the events are read from the newest on,
 * or from the oldest, and those that are not their job's latest are passed over. There is one scan for each type, since
 * the index has the type before the time; PostgreSQL merges them as it reads (a merge append), and so stops at the limit.
 * @param bounds conditions on the events' `recorded_at` and `job_id`.
 * @param orderAndLimit the ORDER BY and LIMIT, by LOGGED_AT and LOGGED_JOB_ID.
 */
export function selectJobsByLog(
  workspaceId: string,
  filter: JobFilter,
  bounds: readonly Prisma.Sql[],
  orderAndLimit: Prisma.Sql,
): Prisma.Sql {
  const inWorkspace = Prisma.join([Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...bounds], " AND ");
  const scans = EVENT_TYPES.map(
    (type) => Prisma.sql`
      SELECT job_id, version, recorded_at FROM flight_recorder_events
      WHERE type = ${type}::"RecorderEventType" AND ${inWorkspace}`,
  );
  const conditions = conditionsOf(filter).map(({ sql }) => ("column" in sql ? enumIn(sql) : sql));
  const where = Prisma.join([Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...conditions], " AND ");
  return Prisma.sql`
    SELECT found.* FROM (${Prisma.join(scans, " UNION ALL ")}) AS logged,
      LATERAL (SELECT * FROM ai_jobs WHERE job_id = logged.job_id AND version = logged.version AND ${where}) AS found
    ${orderAndLimit}`;
}
