import { ALL_PARTITIONS, duePartitions, IN_PARTITION, READY, SCHEDULED_DUE } from "../claims/queue-partitions.ts";
import { Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import type { JobKind } from "../db/generated/client/enums.ts";
import { allWorkspaces, within } from "../db/scope.ts";

/** The queue of one kind, over all workspaces. */
export interface QueueOfKind {
  readonly jobKind: JobKind;
  /** Jobs that are queued, as of the last aggregation of totals, a second ago. */
  readonly queued: number;
  /** For how many seconds the longest-waiting one has been due; 0 where none is due. */
  readonly oldestDueSeconds: number;
}

const METRICS = allWorkspaces("metrics");

/** Since when the longest-waiting ready job of a partition is: the oldest of each of its priorities, each found by one look at the index. */
const OLDEST_READY = Prisma.sql`(
  WITH RECURSIVE head AS (
    (SELECT priority, updated_at FROM ai_jobs WHERE ${READY} AND ${IN_PARTITION} ORDER BY priority DESC, created_at LIMIT 1)
    UNION ALL
    SELECT following.* FROM head, LATERAL (
      SELECT priority, updated_at FROM ai_jobs WHERE ${READY} AND ${IN_PARTITION} AND priority < head.priority
      ORDER BY priority DESC, created_at LIMIT 1) AS following
  ) SELECT min(updated_at) FROM head)`;

/**
 * Reads the queue of each kind, in one statement whose work grows with the partitions and priorities that are there, not with the jobs; of
 * more partitions than a claim looks at, some may be missing.
 */
export function readQueue(prisma: PrismaClient): Promise<readonly QueueOfKind[]> {
  return within(
    METRICS,
    () => prisma.$queryRaw<QueueOfKind[]>`
    WITH RECURSIVE ${duePartitions(ALL_PARTITIONS, Prisma.sql`true`)},
    due AS (
      SELECT job_kind_code, ${OLDEST_READY} AS since FROM ready AS queue_partition
      UNION ALL
      SELECT job_kind_code, (SELECT min(run_after) FROM ai_jobs WHERE ${SCHEDULED_DUE} AND ${IN_PARTITION})
      FROM scheduled_due AS queue_partition
    ), waiting AS (
      SELECT job_kind_code, min(since) AS since FROM due GROUP BY job_kind_code
    ), depth AS (
      SELECT job_kind, sum(jobs) AS jobs FROM job_totals WHERE state = 'queued' GROUP BY job_kind
    )
    SELECT upper(kind::text) AS "jobKind", coalesce(depth.jobs, 0)::float8 AS queued,
      coalesce(greatest(extract(epoch FROM statement_timestamp() - waiting.since), 0), 0)::float8 AS "oldestDueSeconds"
    FROM unnest(enum_range(NULL::"JobKind")) AS kind
    LEFT JOIN depth ON depth.job_kind = kind LEFT JOIN waiting ON waiting.job_kind_code = enum_code(kind)
    ORDER BY kind`,
  );
}
