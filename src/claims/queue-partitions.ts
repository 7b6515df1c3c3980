import { kindCodes, kindOfCode } from "../db/enum-codes.ts";
import { Prisma } from "../db/generated/client/client.ts";
import type { JobKind } from "../db/generated/client/enums.ts";
import { PREPARE_MARKER } from "../db/prepared.ts";
import { toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";

/**
 * The queue is divided into partitions, one for each workspace, job kind and capability profile (section 6). The ready jobs of
 * a partition (without a `run_after`, and not waiting for their children) are next to each other in the index ai_jobs_ready, its scheduled jobs (with a
 * `run_after`) in ai_jobs_scheduled and ai_jobs_next_due. So a skip scan along an index finds each partition in one step,
 * however many jobs it has. For a partition with scheduled jobs, one more look-up tells whether the `run_after` of any of
 * them has passed. In the SQL below, a row named `queue_partition` is a partition.
 */

/** Which jobs a claim may take. */
export interface ClaimDemand {
  /** The workspace to claim from; null for all workspaces in rotation. */
  readonly workspaceId: string | null;
  /** The job kinds to claim; null for all. */
  readonly jobKinds: readonly JobKind[] | null;
}

/**
 * @returns a key that is equal for equal demands, whatever the order of their kinds. When a claim finds nothing, claims with
 * the same key would find nothing either, except for jobs that are reserved for their workers.
 */
export function demandKey({ workspaceId, jobKinds }: ClaimDemand): string {
  return `${workspaceId} ${(jobKinds ?? []).toSorted().join()}`;
}

/** A partition of the queue with a due job. */
export interface QueuePartition {
  readonly workspaceId: string;
  readonly jobKind: JobKind;
  /** The worker that a due job is reserved for, because a person sent it back or answered it; null when any worker may take it. */
  readonly reservedFor: string | null;
}

/**
 * The most partitions in each of `ready` and `scheduled_due`. The rotation brings the other workspaces to a later
 * claim. The partitions of one workspace beyond this number wait until earlier ones are empty; `listDuePartitions` has no
 * rotation and always returns the first in key order.
 */
const MAX_PARTITIONS = 200;

/** A condition on `ai_jobs`: ready, which is queued, without a `run_after`, and waits for nothing else; so it is due. */
export const READY = Prisma.sql`state = 'queued' AND run_after IS NULL AND waits_for IS NULL`;
/** A condition on `ai_jobs`: scheduled, which is queued with a `run_after`, whether it has passed or not. */
const SCHEDULED = Prisma.sql`state = 'queued' AND run_after IS NOT NULL`;
/** A condition on `ai_jobs`: scheduled with a `run_after` that has passed, and so due. */
export const SCHEDULED_DUE = Prisma.sql`${SCHEDULED} AND run_after <= statement_timestamp()`;
/** A condition on `ai_jobs`: in the partition `queue_partition`. */
export const IN_PARTITION = Prisma.sql`workspace_id = queue_partition.workspace_id AND job_kind_code = queue_partition.job_kind_code
  AND capability_profile_id = queue_partition.capability_profile_id`;
/** A condition on `ai_jobs`: any worker may take the job, because it is not, or no longer, reserved for one. */
export const UNRESERVED = Prisma.sql`(preferred_until IS NULL OR preferred_until <= statement_timestamp())`;

/**
 * Lists the partitions with a due job that matches one of these demands, in one statement, whatever the number of jobs and
 * demands. Partitions that match no demand are filtered out before the limit of MAX_PARTITIONS applies: otherwise they could
 * take up the limit, and partitions that match would be missing.
 * @returns the partitions in no particular order. A partition is listed once with `reservedFor` null, when it has a due job
 * that any worker may take, and once more for each worker that one of its due jobs is reserved for.
 */
export async function listDuePartitions(tx: Transaction, demands: readonly ClaimDemand[]): Promise<QueuePartition[]> {
  const rows = demands.map(({ workspaceId, jobKinds }) => ({
    workspaceId,
    kindCodes: jobKinds && kindCodes(jobKinds),
  }));
  const isDemanded = Prisma.sql`EXISTS (SELECT FROM demands d
    WHERE (d.workspace_id IS NULL OR d.workspace_id = queue_partition.workspace_id)
      AND (d.kind_codes IS NULL OR queue_partition.job_kind_code = ANY(d.kind_codes)))`;
  const due = await tx.$queryRaw<(Omit<QueuePartition, "jobKind"> & { readonly kindCode: number })[]>`
    ${PREPARE_MARKER} WITH RECURSIVE demands AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${toRecordset(rows)}) AS t(workspace_id uuid, kind_codes int2[])
    ), ${duePartitions(ALL_PARTITIONS, isDemanded)}
    SELECT DISTINCT workspace_id AS "workspaceId", job_kind_code AS "kindCode", reserved_for AS "reservedFor"
    FROM (
      -- LIMIT and OFFSET make PostgreSQL probe the index once for each partition. Without them it may plan a join that reads
      -- every queued job.
      SELECT queue_partition.*, NULL AS reserved_for FROM ready AS queue_partition,
        LATERAL (SELECT FROM ai_jobs WHERE ${READY} AND ${IN_PARTITION} AND ${UNRESERVED} LIMIT 1) AS unreserved_job
      UNION ALL
      SELECT queue_partition.*, reserved_job.preferred_worker_id FROM ready AS queue_partition, LATERAL (
        SELECT preferred_worker_id FROM ai_jobs
        WHERE ${READY} AND ${IN_PARTITION} AND preferred_until > statement_timestamp() OFFSET 0
      ) AS reserved_job
      UNION ALL
      SELECT queue_partition.*, NULL FROM scheduled_due AS queue_partition
    ) AS due`;
  return due.map(({ kindCode, ...partition }) => ({ ...partition, jobKind: kindOfCode(kindCode) }));
}

/**
 * Lists the workspaces with a due job that the next claim looks at.
 * @param startAfter the id of the workspace after which the turns begin.
 * @returns the ids in the order of turns. `areAll` is false when there may be more workspaces than one claim looks at.
 */
export async function nextWorkspaces(
  tx: Transaction,
  { workspaceId, jobKinds }: ClaimDemand,
  startAfter: string,
): Promise<{ readonly workspaceIds: readonly string[]; readonly areAll: boolean }> {
  const rows = await tx.$queryRaw<{ id: string; areAll: boolean }[]>`
    WITH RECURSIVE ${duePartitions(keyRangesOf(workspaceId, startAfter), isOfKinds(jobKinds))}
    SELECT DISTINCT workspace_id <= ${startAfter}::uuid AS wrapped, workspace_id AS id,
      greatest((SELECT count(*) FROM ready), (SELECT count(*) FROM scheduled_due)) < ${MAX_PARTITIONS} AS "areAll"
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM scheduled_due) AS queue_partition ORDER BY wrapped, id`;
  return { workspaceIds: rows.map(({ id }) => id), areAll: rows[0]?.areAll ?? true };
}

/** @returns a condition on the column `job_kind_code`: one of these kinds; any kind for null. */
export function isOfKinds(jobKinds: readonly JobKind[] | null): Prisma.Sql {
  return Prisma.sql`job_kind_code = ANY(${kindCodes(jobKinds ?? undefined)}::int2[])`;
}

/**
 * A range of partitions in key order, for the skip scan. Each step of the scan has only one lower bound: with two, PostgreSQL
 * uses the lower one for the index scan, and reads every job between the two.
 */
interface KeyRange {
  /** The condition on the first partition of the range. */
  readonly first: Prisma.Sql;
  /** The condition on a partition of the range that comes after the partition `previous`. */
  readonly next: Prisma.Sql;
}

const AFTER_PREVIOUS = Prisma.sql`(workspace_id, job_kind_code, capability_profile_id)
  > (previous.workspace_id, previous.job_kind_code, previous.capability_profile_id)`;
/** All partitions. */
export const ALL_PARTITIONS: readonly KeyRange[] = [{ first: Prisma.sql`true`, next: AFTER_PREVIOUS }];

/**
 * @param workspaceId the one workspace to claim from; null for all.
 * @param startAfter the id of the workspace after which the turns begin.
 * @returns the partitions that a claim may look at, in the order of turns: those after `startAfter`, then from the beginning.
 */
export function keyRangesOf(workspaceId: string | null, startAfter: string): readonly KeyRange[] {
  if (workspaceId !== null) {
    const inWorkspace = Prisma.sql`workspace_id = ${workspaceId}::uuid`;
    const afterPrevious = Prisma.sql`(job_kind_code, capability_profile_id) > (previous.job_kind_code, previous.capability_profile_id)`;
    return [{ first: inWorkspace, next: Prisma.sql`${inWorkspace} AND ${afterPrevious}` }];
  }
  const upToStart = Prisma.sql`workspace_id <= ${startAfter}::uuid`;
  return [
    { first: Prisma.sql`workspace_id > ${startAfter}::uuid`, next: AFTER_PREVIOUS },
    { first: upToStart, next: Prisma.sql`${upToStart} AND ${AFTER_PREVIOUS}` },
  ];
}

/**
 * @param isWanted a condition on `queue_partition`; other partitions are left out and do not count.
 * @returns common table expressions, for a WITH RECURSIVE. Two of them are the result: `ready` has the partitions with a due
 * job without a `run_after`, `scheduled_due` those with a due job whose `run_after` has passed. Each has at most MAX_PARTITIONS
 * rows, in the order of `ranges`.
 */
export function duePartitions(ranges: readonly KeyRange[], isWanted: Prisma.Sql): Prisma.Sql {
  const hasDueJob = Prisma.sql`(SELECT true FROM ai_jobs WHERE ${SCHEDULED_DUE} AND ${IN_PARTITION} LIMIT 1)`;
  const ready = ranges.map((range, index) => skipScan(Prisma.raw(`ready_${index}`), READY, range));
  const scheduled = ranges.map((range, index) => skipScan(Prisma.raw(`scheduled_${index}`), SCHEDULED, range));
  const all = (name: string) =>
    Prisma.raw(ranges.map((_, index) => `SELECT * FROM ${name}_${index}`).join(" UNION ALL "));
  return Prisma.sql`${Prisma.join([...ready, ...scheduled])},
    ready AS MATERIALIZED (
      SELECT *, false AS is_scheduled FROM (${all("ready")}) AS queue_partition WHERE ${isWanted} LIMIT ${MAX_PARTITIONS}
    ), scheduled_due AS MATERIALIZED (
      SELECT *, true AS is_scheduled FROM (${all("scheduled")}) AS queue_partition WHERE ${isWanted} AND ${hasDueJob}
      LIMIT ${MAX_PARTITIONS}
    )`;
}

/**
 * A recursive common table expression: the partitions of `range` with a job that fulfils `condition`, in key order. Each
 * partition is found from the previous one by one index probe, so a partition with a million jobs costs no more than one
 * with a single job.
 */
function skipScan(name: Prisma.Sql, condition: Prisma.Sql, { first, next }: KeyRange): Prisma.Sql {
  const step = (where: Prisma.Sql) => Prisma.sql`
    SELECT workspace_id, job_kind_code, capability_profile_id FROM ai_jobs WHERE ${condition} AND ${where}
    ORDER BY workspace_id, job_kind_code, capability_profile_id LIMIT 1`;
  return Prisma.sql`${name} AS (
    (${step(first)})
    UNION ALL
    SELECT next_partition.* FROM ${name} AS previous, LATERAL (${step(next)}) AS next_partition
  )`;
}
