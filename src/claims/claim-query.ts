import { Prisma } from "../db/generated/client/client.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import type { Transaction } from "../db/transaction.ts";
import { LOCKED_COLUMNS, LOCKED_WITH_PROFILE, type LockedJob } from "../jobs/lock.ts";
import type { UsedUpScope } from "../quotas/admission.ts";
import {
  type ClaimDemand,
  DELAY_OVER,
  duePartitions,
  IN_PARTITION,
  isOfKinds,
  keyRangesOf,
  READY,
  UNRESERVED,
} from "./queue-partitions.ts";

/** Which due jobs a claim takes. */
export interface ClaimCriteria extends ClaimDemand {
  /** Jobs at most. */
  readonly limit: number;
  /** The workers that ask: each of them may get what is reserved for it, too. */
  readonly workerIds: readonly string[];
}

/** A job that is due, and whose row this transaction holds. */
export type DueJob = LockedJob & {
  /** Whether there is a quota that its start counts against. */
  readonly hasQuota: boolean;
};

/**
 * Bytes of documents, as PostgreSQL stores them, that one claim delivers, at most; a single job's may be more. They are
 * stored uncompressed (prisma/migrations), so that these bytes say how much memory they take here.
 */
const MAX_DOCUMENT_BYTES = 8_000_000;
const DOCUMENT_BYTES = Prisma.sql`coalesce(pg_column_size(job_inputs), 0) + pg_column_size(entity_refs)
  + pg_column_size(planned_operations)`;

const MOST_URGENT_FIRST = Prisma.sql`ORDER BY priority DESC, created_at, job_id`;

const HAS_QUOTA = Prisma.sql`EXISTS (
  SELECT FROM quotas q WHERE q.workspace_id = locked.workspace_id AND q.resource <> 'jobs'
    AND coalesce(q.capability_profile_id, locked.capability_profile_id) = locked.capability_profile_id)`;

/**
 * Selects and locks due jobs: workspaces in rotation, inside a workspace by priority, then age (section 6). Rows that others
 * hold are skipped, so that no claim waits for another, and no two take the same job.
 *
 * What can interleave: many claims plan from the same rows. So the plan, which locks nothing, decides only how many jobs
 * each partition gives. Which ones is decided by the walk that locks: it goes on past what others took, first in the
 * partitions of the plan and then, while it has too few, in the others. What another claim took meanwhile fails the recheck
 * of `state = 'queued'`. The walk stops at the last job that it takes, so a claim never locks more than that, but for jobs
 * whose documents are too large to be delivered together.
 *
 * `FOR NO KEY UPDATE`, as everywhere: FOR UPDATE would also hold up whoever writes a row that refers to the job.
 * @param last the workspace that was served last: the turns begin after it.
 * @param usedUp whose quotas are used up: their jobs are skipped.
 */
export function selectAndLockJobs(
  tx: Transaction,
  { workspaceId, jobKinds, limit, workerIds }: ClaimCriteria,
  last: string,
  usedUp: readonly UsedUpScope[] = [],
): Promise<DueJob[]> {
  const mayTake = Prisma.sql`(${UNRESERVED} OR preferred_worker_id = ANY(${workerIds}::text[]))`;
  const ofPartition = Prisma.sql`${IN_PARTITION} AND ${mayTake}`;
  const look = (condition: Prisma.Sql) => Prisma.sql`
    SELECT priority, created_at, job_id FROM ai_jobs WHERE ${condition} AND ${ofPartition} ${MOST_URGENT_FIRST} LIMIT ${limit}`;
  const lock = (condition: Prisma.Sql) => Prisma.sql`
    SELECT * FROM ai_jobs WHERE ${condition} AND ${ofPartition} ${MOST_URGENT_FIRST}
    LIMIT queue_partition.jobs FOR NO KEY UPDATE SKIP LOCKED`;
  const usedUpWorkspaces = usedUp.map((scope) => scope.workspaceId);
  const usedUpProfiles = usedUp.map((scope) => scope.capabilityProfileId);
  const isOpen = Prisma.sql`${isOfKinds(jobKinds)} AND NOT EXISTS (
    SELECT FROM unnest(${usedUpWorkspaces}::uuid[], ${usedUpProfiles}::text[]) AS used_up(of_workspace, of_profile)
    WHERE of_workspace = workspace_id AND coalesce(of_profile, capability_profile_id) = capability_profile_id)`;
  return tx.$queryRaw<DueJob[]>`
    ${FORCED_GENERIC_PLAN} WITH RECURSIVE ${duePartitions(keyRangesOf(workspaceId, last), isOpen)},
    seen AS (
      SELECT queue_partition.*, one.* FROM ready AS queue_partition, LATERAL (${look(READY)}) AS one
      UNION ALL
      SELECT queue_partition.*, one.* FROM delay_over AS queue_partition, LATERAL (${look(DELAY_OVER)}) AS one
    ), ranked AS (
      SELECT workspace_id, job_kind, capability_profile_id, is_delayed,
        row_number() OVER (PARTITION BY workspace_id ${MOST_URGENT_FIRST}) AS turn
      FROM seen
    ), planned AS MATERIALIZED (
      SELECT workspace_id, job_kind, capability_profile_id, is_delayed, count(*) AS jobs
      FROM (SELECT * FROM ranked ORDER BY turn, workspace_id <= ${last}::uuid, workspace_id LIMIT ${limit}) AS first
      GROUP BY workspace_id, job_kind, capability_profile_id, is_delayed
    ), walk AS MATERIALIZED (
      SELECT *, false AS is_spare FROM planned
      UNION ALL
      SELECT *, ${limit}::int, true FROM (SELECT * FROM ready UNION ALL SELECT * FROM delay_over) AS queue_partition
      WHERE (workspace_id, job_kind, capability_profile_id, is_delayed) NOT IN (
        SELECT workspace_id, job_kind, capability_profile_id, is_delayed FROM planned)
    ), taken AS MATERIALIZED (
      SELECT one.* FROM (SELECT * FROM walk ORDER BY is_spare, workspace_id <= ${last}::uuid, workspace_id) AS queue_partition,
        LATERAL (
          SELECT * FROM (${lock(Prisma.sql`NOT queue_partition.is_delayed AND ${READY}`)}) AS ready_job
          UNION ALL
          SELECT * FROM (${lock(Prisma.sql`queue_partition.is_delayed AND ${DELAY_OVER}`)}) AS delayed_job
        ) AS one
      LIMIT ${limit}
    ), locked AS MATERIALIZED (
      SELECT * FROM (
        SELECT *, row_number() OVER in_order AS at, sum(${DOCUMENT_BYTES}) OVER in_order AS bytes
        FROM taken WINDOW in_order AS (${MOST_URGENT_FIRST})
      ) AS one WHERE at = 1 OR bytes <= ${MAX_DOCUMENT_BYTES}
    )
    SELECT ${LOCKED_COLUMNS}, ${HAS_QUOTA} AS "hasQuota" FROM ${LOCKED_WITH_PROFILE} ${MOST_URGENT_FIRST}`;
}
