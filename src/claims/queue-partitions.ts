import { Prisma } from "../db/generated/client/client.ts";
import { JobKind } from "../db/generated/client/enums.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { toDbEnum, toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";

/**
 * The queue is looked at by partitions: a partition is a workspace, a job kind and a capability profile, and the index
 * ai_jobs_ready holds each partition's queued jobs together. Partitions that have a due job are found by a skip scan along
 * that index, one step for each however many jobs they hold. In the SQL below a row `queue_partition` is such a partition.
 */

/** What a worker can do. */
export interface ClaimDemand {
  /** One workspace; every one, in rotation, where it is null. */
  readonly workspaceId: string | null;
  /** The kinds that the worker can do; all where it is null. */
  readonly jobKinds: readonly JobKind[] | null;
}

/** The same for workers that can do the same: where one of them finds nothing, so would the others. */
export function demandKey({ workspaceId, jobKinds }: ClaimDemand): string {
  return `${workspaceId} ${(jobKinds ?? []).toSorted().join()}`;
}

/** Part of the queue that has a due job. */
export interface QueuePartition {
  readonly workspaceId: string;
  readonly jobKind: JobKind;
  /** The worker that alone may take a job there for a while, since a person sent it back; null where anybody may. */
  readonly reservedFor: string | null;
}

/** Partitions that one statement looks at, at most: the others have their turn at the next. */
const MAX_PARTITIONS = 200;

/** A queued job without a `run_after`: due. */
export const READY = Prisma.sql`state = 'queued' AND run_after IS NULL`;
/** A queued job with a `run_after`, which may have passed. */
const DELAYED = Prisma.sql`state = 'queued' AND run_after IS NOT NULL`;
/** A queued job whose `run_after` has passed: due. */
export const DELAY_OVER = Prisma.sql`${DELAYED} AND run_after <= statement_timestamp()`;
/** A job of the partition `queue_partition`. */
export const IN_PARTITION = Prisma.sql`workspace_id = queue_partition.workspace_id AND job_kind = queue_partition.job_kind
  AND capability_profile_id = queue_partition.capability_profile_id`;
/** A job that any worker may take: nobody sent it back, or long enough ago. */
export const UNRESERVED = Prisma.sql`(preferred_until IS NULL OR preferred_until <= statement_timestamp())`;

/**
 * Where something is due that one of these demands can do: one statement, whatever the number of jobs and of demands. What
 * nobody of them can do is left out, so that it takes no place among MAX_PARTITIONS.
 */
export function listDuePartitions(tx: Transaction, demands: readonly ClaimDemand[]): Promise<QueuePartition[]> {
  const rows = demands.map(({ workspaceId, jobKinds }) => ({ workspaceId, jobKinds: jobKinds && toDbEnums(jobKinds) }));
  const isDemanded = Prisma.sql`EXISTS (SELECT FROM demands d
    WHERE (d.workspace_id IS NULL OR d.workspace_id = queue_partition.workspace_id)
      AND (d.job_kinds IS NULL OR queue_partition.job_kind = ANY(d.job_kinds)))`;
  return tx.$queryRaw<QueuePartition[]>`
    ${FORCED_GENERIC_PLAN} WITH RECURSIVE demands AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${toRecordset(rows)}) AS t(workspace_id uuid, job_kinds "JobKind"[])
    ), ${duePartitions(EVERYWHERE, isDemanded)}
    SELECT DISTINCT workspace_id AS "workspaceId", upper(job_kind::text) AS "jobKind", reserved_for AS "reservedFor"
    FROM (
      -- LIMIT and OFFSET make it one look for each partition. Joined, PostgreSQL may walk over every queued job instead.
      SELECT queue_partition.*, NULL AS reserved_for FROM ready AS queue_partition,
        LATERAL (SELECT FROM ai_jobs WHERE ${READY} AND ${IN_PARTITION} AND ${UNRESERVED} LIMIT 1) AS one
      UNION ALL
      SELECT queue_partition.*, one.preferred_worker_id FROM ready AS queue_partition, LATERAL (
        SELECT preferred_worker_id FROM ai_jobs
        WHERE ${READY} AND ${IN_PARTITION} AND preferred_until > statement_timestamp() OFFSET 0
      ) AS one
      UNION ALL
      SELECT queue_partition.*, NULL FROM delay_over AS queue_partition
    ) AS due`;
}

/**
 * The workspaces that the next claim looks at, in the order of their turns.
 * @param last the workspace that was served last: the turns begin after it.
 * @returns `areAll` is false where there may be more workspaces than one claim looks at.
 */
export async function nextWorkspaces(
  tx: Transaction,
  { workspaceId, jobKinds }: ClaimDemand,
  last: string,
): Promise<{ readonly workspaceIds: readonly string[]; readonly areAll: boolean }> {
  const rows = await tx.$queryRaw<{ id: string; areAll: boolean }[]>`
    WITH RECURSIVE ${duePartitions(keyRangesOf(workspaceId, last), isOfKinds(jobKinds))}
    SELECT DISTINCT workspace_id <= ${last}::uuid AS wrapped, workspace_id AS id,
      greatest((SELECT count(*) FROM ready), (SELECT count(*) FROM delay_over)) < ${MAX_PARTITIONS} AS "areAll"
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM delay_over) AS queue_partition ORDER BY wrapped, id`;
  return { workspaceIds: rows.map(({ id }) => id), areAll: rows[0]?.areAll ?? true };
}

/** A condition on the column `job_kind`. */
export function isOfKinds(jobKinds: readonly JobKind[] | null): Prisma.Sql {
  return Prisma.sql`job_kind = ANY(${toDbEnums(jobKinds ?? Object.values(JobKind))}::text[]::"JobKind"[])`;
}

function toDbEnums(kinds: readonly JobKind[]): string[] {
  return kinds.map((kind) => toDbEnum(kind));
}

/**
 * A range of partitions in key order: where it begins, and the condition on what comes after the partition `here`. A step
 * of the skip scan has one lower bound alone: given two, PostgreSQL uses the weaker one for the index, and walks over every
 * job from there.
 */
interface KeyRange {
  readonly first: Prisma.Sql;
  readonly next: Prisma.Sql;
}

const AFTER_HERE = Prisma.sql`(workspace_id, job_kind, capability_profile_id)
  > (here.workspace_id, here.job_kind, here.capability_profile_id)`;
const EVERYWHERE: readonly KeyRange[] = [{ first: Prisma.sql`true`, next: AFTER_HERE }];

/** The partitions of a claim, in the order of their turns: from after the workspace served last, then from the beginning. */
export function keyRangesOf(workspaceId: string | null, last: string): readonly KeyRange[] {
  if (workspaceId !== null) {
    const only = Prisma.sql`workspace_id = ${workspaceId}::uuid`;
    const afterHere = Prisma.sql`(job_kind, capability_profile_id) > (here.job_kind, here.capability_profile_id)`;
    return [{ first: only, next: Prisma.sql`${only} AND ${afterHere}` }];
  }
  const upTo = Prisma.sql`workspace_id <= ${last}::uuid`;
  return [
    { first: Prisma.sql`workspace_id > ${last}::uuid`, next: AFTER_HERE },
    { first: upTo, next: Prisma.sql`${upTo} AND ${AFTER_HERE}` },
  ];
}

/**
 * Common table expressions `ready` and `delay_over`: the partitions that have a due job, without and with a `run_after`, in
 * the order of their turns, MAX_PARTITIONS of each at most.
 * @param isWanted a condition on `queue_partition`; the others do not count.
 */
export function duePartitions(ranges: readonly KeyRange[], isWanted: Prisma.Sql): Prisma.Sql {
  const hasDueJob = Prisma.sql`(SELECT true FROM ai_jobs WHERE ${DELAY_OVER} AND ${IN_PARTITION} LIMIT 1)`;
  const ready = ranges.map((range, at) => skipScan(Prisma.raw(`ready_${at}`), READY, range));
  const delayed = ranges.map((range, at) => skipScan(Prisma.raw(`delayed_${at}`), DELAYED, range));
  const all = (name: string) => Prisma.raw(ranges.map((_, at) => `SELECT * FROM ${name}_${at}`).join(" UNION ALL "));
  return Prisma.sql`${Prisma.join([...ready, ...delayed])},
    ready AS MATERIALIZED (
      SELECT *, false AS is_delayed FROM (${all("ready")}) AS queue_partition WHERE ${isWanted} LIMIT ${MAX_PARTITIONS}
    ), delay_over AS MATERIALIZED (
      SELECT *, true AS is_delayed FROM (${all("delayed")}) AS queue_partition WHERE ${isWanted} AND ${hasDueJob}
      LIMIT ${MAX_PARTITIONS}
    )`;
}

/** Partitions in key order, each found from the one before by one look into the index: a million jobs of one cost one step. */
function skipScan(name: Prisma.Sql, condition: Prisma.Sql, { first, next }: KeyRange): Prisma.Sql {
  const step = (where: Prisma.Sql) => Prisma.sql`
    SELECT workspace_id, job_kind, capability_profile_id FROM ai_jobs WHERE ${condition} AND ${where}
    ORDER BY workspace_id, job_kind, capability_profile_id LIMIT 1`;
  return Prisma.sql`${name} AS (
    (${step(first)})
    UNION ALL
    SELECT one.* FROM ${name} AS here, LATERAL (${step(next)}) AS one
  )`;
}
