import { Prisma } from "../db/generated/client/client.ts";
import { conditionsOf, type JobFilter } from "./filter.ts";
import { jobsWithLabel } from "./labels.ts";
import { isShortList } from "./list-by-update.ts";

/**
 * Lists by label and by submitter. ai_jobs has no index for these, since each version of a job would have to keep it up to date:
 * other tables have, which are written once for each job. They give candidates in the list's order, and each is looked at in
 * ai_jobs until the page is full.
 */

/** The part of a list that is read. */
export interface ListedPart {
  /** Conditions on `created_at` and `job_id`: where the page begins. */
  readonly bounds: readonly Prisma.Sql[];
  /** The direction in which the rows are read, as SQL; undefined to read all in any order. */
  readonly way?: Prisma.Sql;
}

/**
 * A limit that leaves none out, and that PostgreSQL does not know when it plans: it then assumes that a tenth of the rows are read,
 * and reads them in the index's order. Without it, it finds and sorts all candidates for the first page.
 */
export const ALL_ROWS = Prisma.sql`(SELECT 9223372036854775807)`;

/**
 * @returns a SELECT of the `job_id` and `created_at` of all jobs of the workspace that may match the filter, in the list's order;
 *   undefined where the filter is better searched in `ai_jobs` itself.
 */
export function selectCandidates(
  workspaceId: string,
  filter: JobFilter,
  { bounds, way }: ListedPart,
): Prisma.Sql | undefined {
  const from = candidatesOf(workspaceId, filter);
  if (!from) return undefined;
  const ofKey = conditionsOf(filter).flatMap(({ sql, isOfKey }) => (isOfKey && !("column" in sql) ? sql : []));
  const where = Prisma.join([Prisma.sql`true`, ...bounds, ...ofKey], " AND ");
  const order = way ? Prisma.sql`ORDER BY created_at ${way}, job_id ${way} LIMIT ${ALL_ROWS}` : Prisma.empty;
  return Prisma.sql`${from.with} SELECT job_id, created_at FROM (${from.table}) AS listed WHERE ${where} ${order}`;
}

function candidatesOf(workspaceId: string, filter: JobFilter) {
  const { labels, submittedBy } = filter;
  if (isNarrow(filter)) return undefined;
  if (labels && labels.length > 0) return jobsWithLabel(workspaceId, labels);
  return submittedBy == null ? undefined : { with: Prisma.empty, table: jobsSubmittedBy(workspaceId, submittedBy) };
}

/**
 * Whether few jobs match whatever their labels: none matches an empty list, a tree has at most a thousand, and those in work are as
 * many as workers.
 */
function isNarrow(filter: JobFilter): boolean {
  const { parentJobId, rootJobId, traceId, idempotencyKey } = filter;
  if (conditionsOf(filter).some(({ isEmpty }) => isEmpty)) return true;
  return isShortList(filter) || [parentJobId, rootJobId, traceId, idempotencyKey].some((value) => value != null);
}

/** A job's first event says who submitted it and when, and the database holds the job to it. */
function jobsSubmittedBy(workspaceId: string, submittedBy: string): Prisma.Sql {
  return Prisma.sql`
    SELECT job_id, recorded_at AS created_at FROM flight_recorder_events
    WHERE workspace_id = ${workspaceId}::uuid AND principal_id = ${submittedBy} AND version = 1`;
}
