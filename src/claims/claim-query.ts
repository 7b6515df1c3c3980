import { Prisma } from "../db/generated/client/client.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import type { Transaction } from "../db/transaction.ts";
import { LOCKED_COLUMNS, LOCKED_WITH_PROFILE, type LockedJob } from "../jobs/lock.ts";
import type { UsedUpScope } from "../quotas/admission.ts";
import {
  type ClaimDemand,
  duePartitions,
  IN_PARTITION,
  isOfKinds,
  keyRangesOf,
  READY,
  SCHEDULED_DUE,
  UNRESERVED,
} from "./queue-partitions.ts";

/** Which due jobs a claim selects. */
export interface ClaimCriteria extends ClaimDemand {
  /** The most jobs to select. */
  readonly limit: number;
  /** The workers that claim: jobs that are reserved for one of them may be selected, too. */
  readonly workerIds: readonly string[];
}

/** A due job that this transaction has locked. */
export type DueJob = LockedJob & {
  /** Whether a quota limits how many such jobs may start. */
  readonly hasQuota: boolean;
};

/**
 * The most bytes of documents, as PostgreSQL stores them, that one claim delivers; a single job's may be more. Documents are
 * stored uncompressed (prisma/migrations), so their stored size tells how much memory they take in this process.
 */
const MAX_DOCUMENT_BYTES = 8_000_000;
const DOCUMENT_BYTES = Prisma.sql`coalesce(pg_column_size(job_inputs), 0) + pg_column_size(entity_refs)
  + pg_column_size(planned_operations)`;

const MOST_URGENT_FIRST = Prisma.sql`ORDER BY priority DESC, created_at, job_id`;

const HAS_QUOTA = Prisma.sql`EXISTS (
  SELECT FROM quotas q WHERE q.workspace_id = locked.workspace_id AND q.resource <> 'jobs'
    AND coalesce(q.capability_profile_id, locked.capability_profile_id) = locked.capability_profile_id)`;

/**
 * Selects and locks due jobs: workspaces in rotation, inside a workspace by priority, then age (section 6). Rows that other
 * transactions have locked are skipped, so that no claim waits for another, and no two claims take the same job.
 *
 * Many claims may read the same rows at the same time, so the statement works in two phases. The first (`candidates`,
 * `ranked`, `partition_allotments`) locks nothing, and decides only how many jobs to take from each partition. The second
 * (`partitions_to_lock`, `taken`) decides which jobs, by locking them: it skips jobs that other claims have locked, and goes on
 * with the next ones, first in the partitions that have an allotment and then, while it has fewer than `limit` jobs, in the
 * others (`is_fallback`), where it may take as many as `limit`. A job that another claim
 * took and committed in between is skipped, too, because PostgreSQL checks `state = 'queued'` again when it locks the row.
 * The second phase stops when it has `limit` jobs. So a claim locks only the jobs that it selects, and those
 * whose documents would exceed MAX_DOCUMENT_BYTES.
 *
 * The lock is `FOR NO KEY UPDATE`, as everywhere: FOR UPDATE would also block inserts of rows that refer to the job.
 * @param startAfter the id of the workspace after which the turns begin.
 * @param usedUp the scopes whose quotas are used up: their jobs are skipped.
 * @returns the locked jobs, the most urgent first.
 */
export function selectAndLockJobs(
  tx: Transaction,
  { workspaceId, jobKinds, limit, workerIds }: ClaimCriteria,
  startAfter: string,
  usedUp: readonly UsedUpScope[] = [],
): Promise<DueJob[]> {
  const mayTake = Prisma.sql`(${UNRESERVED} OR preferred_worker_id = ANY(${workerIds}::text[]))`;
  const ofPartition = Prisma.sql`${IN_PARTITION} AND ${mayTake}`;
  const selectCandidates = (condition: Prisma.Sql) => Prisma.sql`
    SELECT priority, created_at, job_id FROM ai_jobs WHERE ${condition} AND ${ofPartition} ${MOST_URGENT_FIRST} LIMIT ${limit}`;
  const lockJobsWhere = (condition: Prisma.Sql) => Prisma.sql`
    SELECT * FROM ai_jobs WHERE ${condition} AND ${ofPartition} ${MOST_URGENT_FIRST}
    LIMIT queue_partition.max_jobs FOR NO KEY UPDATE SKIP LOCKED`;
  const usedUpWorkspaces = usedUp.map((scope) => scope.workspaceId);
  const usedUpProfiles = usedUp.map((scope) => scope.capabilityProfileId);
  const isClaimable = Prisma.sql`${isOfKinds(jobKinds)} AND NOT EXISTS (
    SELECT FROM unnest(${usedUpWorkspaces}::uuid[], ${usedUpProfiles}::text[]) AS used_up(in_workspace_id, of_profile_id)
    WHERE in_workspace_id = workspace_id AND coalesce(of_profile_id, capability_profile_id) = capability_profile_id)`;
  return tx.$queryRaw<DueJob[]>`
    ${PREPARE_MARKER} WITH RECURSIVE ${duePartitions(keyRangesOf(workspaceId, startAfter), isClaimable)},
    candidates AS (
      SELECT queue_partition.*, job.* FROM ready AS queue_partition, LATERAL (${selectCandidates(READY)}) AS job
      UNION ALL
      SELECT queue_partition.*, job.* FROM scheduled_due AS queue_partition, LATERAL (${selectCandidates(SCHEDULED_DUE)}) AS job
    ), ranked AS (
      SELECT workspace_id, job_kind_code, capability_profile_id, is_scheduled,
        row_number() OVER (PARTITION BY workspace_id ${MOST_URGENT_FIRST}) AS turn
      FROM candidates
    ), partition_allotments AS MATERIALIZED (
      SELECT workspace_id, job_kind_code, capability_profile_id, is_scheduled, count(*) AS max_jobs
      FROM (SELECT * FROM ranked ORDER BY turn, workspace_id <= ${startAfter}::uuid, workspace_id LIMIT ${limit}) AS chosen
      GROUP BY workspace_id, job_kind_code, capability_profile_id, is_scheduled
    ), partitions_to_lock AS MATERIALIZED (
      SELECT *, false AS is_fallback FROM partition_allotments
      UNION ALL
      SELECT *, ${limit}::int, true FROM (SELECT * FROM ready UNION ALL SELECT * FROM scheduled_due) AS queue_partition
      WHERE (workspace_id, job_kind_code, capability_profile_id, is_scheduled) NOT IN (
        SELECT workspace_id, job_kind_code, capability_profile_id, is_scheduled FROM partition_allotments)
    ), taken AS MATERIALIZED (
      SELECT job.*
      FROM (
          SELECT * FROM partitions_to_lock ORDER BY is_fallback, workspace_id <= ${startAfter}::uuid, workspace_id
        ) AS queue_partition,
        LATERAL (
          SELECT * FROM (${lockJobsWhere(Prisma.sql`NOT queue_partition.is_scheduled AND ${READY}`)}) AS ready_job
          UNION ALL
          SELECT * FROM (${lockJobsWhere(Prisma.sql`queue_partition.is_scheduled AND ${SCHEDULED_DUE}`)}) AS scheduled_job
        ) AS job
      LIMIT ${limit}
    ), locked AS MATERIALIZED (
      SELECT * FROM (
        SELECT *, row_number() OVER by_urgency AS rank, sum(${DOCUMENT_BYTES}) OVER by_urgency AS total_bytes
        FROM taken WINDOW by_urgency AS (${MOST_URGENT_FIRST})
      ) AS measured WHERE rank = 1 OR total_bytes <= ${MAX_DOCUMENT_BYTES}
    )
    SELECT ${LOCKED_COLUMNS}, ${HAS_QUOTA} AS "hasQuota" FROM ${LOCKED_WITH_PROFILE} ${MOST_URGENT_FIRST}`;
}
