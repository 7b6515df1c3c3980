import { Prisma } from "../db/generated/client/client.ts";
import { JobKind } from "../db/generated/client/enums.ts";
import { FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { toRecordset } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { LOCKED_COLUMNS, LOCKED_WITH_PROFILE, type LockedJob } from "../jobs/lock.ts";
import type { UsedUpScope } from "../quotas/admission.ts";

/** Which due jobs a worker takes. */
export interface ClaimCriteria {
  /** One workspace; every one, in turn, where it is null. */
  readonly workspaceId: string | null;
  /** Kinds that the worker can do; all where it is null. */
  readonly jobKinds: readonly JobKind[] | null;
  readonly limit: number;
  /** Those who ask: each of them may get what is kept for it, too. */
  readonly workerIds: readonly string[];
}

/** A workspace and a kind that have a job which is due. */
export interface QueuePartition {
  readonly workspaceId: string;
  readonly jobKind: JobKind;
  /** The worker that it was sent back to, who alone may take it for a while; null where there is one for anybody. */
  readonly reservedFor: string | null;
}

/** What somebody who waits can do. */
export type ClaimDemand = Pick<ClaimCriteria, "workspaceId" | "jobKinds">;

/** Workers that can do the same: where one of them finds nothing, so would the others. */
export function demandKey({ workspaceId, jobKinds }: ClaimDemand): string {
  return `${workspaceId} ${(jobKinds ?? []).toSorted().join()}`;
}

/** A job that is due, and held. */
export type DueJob = LockedJob & {
  /** Whether a quota is about its start. */
  readonly hasQuota: boolean;
};

/** Places that one claim looks at, at most: the others have their turn at the next. */
const MAX_PARTITIONS = 200;

/**
 * Bytes of documents, as PostgreSQL has them, that one claim hands out, at most; a single job's may be more. They are stored
 * uncompressed, and so what they take here is in proportion.
 */
const MAX_DOCUMENT_BYTES = 8_000_000;
const DOCUMENT_BYTES = Prisma.sql`coalesce(pg_column_size(job_inputs), 0) + pg_column_size(entity_refs)
  + pg_column_size(planned_operations)`;

/**
 * Locks due jobs: workspaces in turn, inside one by priority, then age. Rows that others hold are passed over, so no
 * claim waits for another, and no two take the same job.
 *
 * What can interleave: many claims plan from the same rows. So the plan, without locks, decides only how many jobs each
 * workspace and kind gives; which ones is decided by the walk that locks, and it goes on past what others took, in the
 * places of the plan and then, while it has too few, in the others. It stops at the last that it takes, so a claim never
 * locks more than that, but for jobs whose inputs are too large to be handed out together. What another claim took
 * meanwhile fails the recheck of `state = 'queued'`.
 *
 * `FOR NO KEY UPDATE`, as everywhere: FOR UPDATE would also hold up whoever writes a row that refers to the job.
 * @param last the workspace that was served last: the turns begin after it.
 * @param usedUp whose quotas are used up: their jobs are passed over.
 */
export function selectAndLockJobs(
  tx: Transaction,
  wanted: ClaimCriteria,
  last: string,
  usedUp: readonly UsedUpScope[] = [],
): Promise<DueJob[]> {
  const { workspaceId, jobKinds, limit, workerIds } = wanted;
  const mine = Prisma.sql`(${UNRESERVED} OR preferred_worker_id = ANY(${workerIds}::text[]))`;
  const inPlace = Prisma.sql`${IN_PARTITION} AND ${mine}`;
  const order = Prisma.sql`ORDER BY priority DESC, created_at, job_id`;
  const look = (condition: Prisma.Sql) => Prisma.sql`
    SELECT priority, created_at, job_id FROM ai_jobs WHERE ${condition} AND ${inPlace} ${order} LIMIT ${limit}`;
  const lock = (condition: Prisma.Sql) => Prisma.sql`
    SELECT * FROM ai_jobs WHERE ${condition} AND ${inPlace} ${order} LIMIT place.jobs FOR NO KEY UPDATE SKIP LOCKED`;
  const isOpen = Prisma.sql`${isOfKinds(jobKinds)} AND NOT EXISTS (
    SELECT FROM unnest(${usedUp.map((it) => it.workspaceId)}::uuid[], ${usedUp.map((it) => it.capabilityProfileId)}::text[])
      AS closed(of_workspace, of_profile)
    WHERE of_workspace = workspace_id AND coalesce(of_profile, capability_profile_id) = capability_profile_id)`;
  return tx.$queryRaw<DueJob[]>`
    ${FORCED_GENERIC_PLAN} WITH RECURSIVE ${duePartitions(keyRangesOf(workspaceId, last), isOpen)},
    seen AS (
      SELECT place.*, one.* FROM ready AS place, LATERAL (${look(READY)}) AS one
      UNION ALL
      SELECT place.*, one.* FROM scheduled AS place, LATERAL (${look(DELAY_OVER)}) AS one
    ), ranked AS (
      SELECT workspace_id, job_kind, capability_profile_id, is_scheduled,
        row_number() OVER (PARTITION BY workspace_id ORDER BY priority DESC, created_at, job_id) AS turn
      FROM seen
    ), chosen AS MATERIALIZED (
      SELECT workspace_id, job_kind, capability_profile_id, is_scheduled, count(*) AS jobs
      FROM (SELECT * FROM ranked ORDER BY turn, workspace_id <= ${last}::uuid, workspace_id LIMIT ${limit}) AS first
      GROUP BY workspace_id, job_kind, capability_profile_id, is_scheduled
    ), walk AS MATERIALIZED (
      SELECT *, false AS is_spare FROM chosen
      UNION ALL
      SELECT *, ${limit}::int, true FROM (SELECT * FROM ready UNION ALL SELECT * FROM scheduled) AS place
      WHERE (workspace_id, job_kind, capability_profile_id, is_scheduled) NOT IN (
        SELECT workspace_id, job_kind, capability_profile_id, is_scheduled FROM chosen)
    ), held AS MATERIALIZED (
      SELECT one.* FROM (SELECT * FROM walk ORDER BY is_spare, workspace_id <= ${last}::uuid, workspace_id) AS place,
        LATERAL (
          SELECT * FROM (${lock(Prisma.sql`NOT place.is_scheduled AND ${READY}`)}) AS ready_job
          UNION ALL
          SELECT * FROM (${lock(Prisma.sql`place.is_scheduled AND ${DELAY_OVER}`)}) AS scheduled_job
        ) AS one
      LIMIT ${limit}
    ), locked AS MATERIALIZED (
      SELECT * FROM (
        SELECT *, row_number() OVER in_order AS at, sum(${DOCUMENT_BYTES}) OVER in_order AS bytes
        FROM held WINDOW in_order AS (${order})
      ) AS one WHERE at = 1 OR bytes <= ${MAX_DOCUMENT_BYTES}
    )
    SELECT ${LOCKED_COLUMNS}, ${HAS_QUOTA} AS "isMetered" FROM ${LOCKED_WITH_PROFILE} ${order}`;
}

/** The workspaces that the next claim looks at, in the order of their turns, and whether there are more than that. */
export async function nextWorkspaces(
  tx: Transaction,
  { workspaceId, jobKinds }: ClaimCriteria,
  last: string,
): Promise<{ readonly workspaceIds: readonly string[]; readonly areAll: boolean }> {
  const rows = await tx.$queryRaw<{ id: string; areAll: boolean }[]>`
    WITH RECURSIVE ${duePartitions(keyRangesOf(workspaceId, last), isOfKinds(jobKinds))}
    SELECT DISTINCT workspace_id <= ${last}::uuid AS again, workspace_id AS id,
      greatest((SELECT count(*) FROM ready), (SELECT count(*) FROM scheduled)) < ${MAX_PARTITIONS} AS "areAll"
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM scheduled) AS place ORDER BY again, id`;
  return { workspaceIds: rows.map(({ id }) => id), areAll: rows[0]?.areAll ?? true };
}

/**
 * Where something is due that somebody who waits can do: one statement, whatever the number of jobs and of those who
 * wait. What nobody of them can do is passed over, so that it hides nothing.
 */
export function listDuePartitions(tx: Transaction, wants: readonly ClaimDemand[]): Promise<QueuePartition[]> {
  const known = wants.map(({ workspaceId, jobKinds }) => ({ workspaceId, jobKinds: jobKinds && toDbEnums(jobKinds) }));
  const isWanted = Prisma.sql`EXISTS (SELECT FROM wants w
    WHERE (w.workspace_id IS NULL OR w.workspace_id = place.workspace_id)
      AND (w.job_kinds IS NULL OR place.job_kind = ANY(w.job_kinds)))`;
  return tx.$queryRaw<QueuePartition[]>`
    ${FORCED_GENERIC_PLAN} WITH RECURSIVE wants AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${toRecordset(known)}) AS t(workspace_id uuid, job_kinds "JobKind"[])
    ), ${duePartitions(EVERYWHERE, isWanted)}
    SELECT DISTINCT workspace_id AS "workspaceId", upper(job_kind::text) AS "jobKind", kept_for AS "keptFor"
    FROM (
      -- LIMIT and OFFSET: place by place. Joined, PostgreSQL may walk over every job that is queued instead.
      SELECT place.*, NULL AS kept_for FROM ready AS place,
        LATERAL (SELECT FROM ai_jobs WHERE ${READY} AND ${IN_PARTITION} AND ${UNRESERVED} LIMIT 1) AS one
      UNION ALL
      SELECT place.*, one.preferred_worker_id FROM ready AS place, LATERAL (
        SELECT preferred_worker_id FROM ai_jobs WHERE ${READY} AND ${IN_PARTITION} AND preferred_until > statement_timestamp() OFFSET 0
      ) AS one
      UNION ALL
      SELECT place.*, NULL FROM scheduled AS place
    ) AS due`;
}

const READY = Prisma.sql`state = 'queued' AND run_after IS NULL`;
const DELAYED = Prisma.sql`state = 'queued' AND run_after IS NOT NULL`;
const DELAY_OVER = Prisma.sql`${DELAYED} AND run_after <= statement_timestamp()`;

/** Jobs of a place. */
const IN_PARTITION = Prisma.sql`workspace_id = place.workspace_id AND job_kind = place.job_kind
  AND capability_profile_id = place.capability_profile_id`;

const HAS_QUOTA = Prisma.sql`EXISTS (
  SELECT FROM quotas q WHERE q.workspace_id = locked.workspace_id AND q.resource <> 'jobs'
    AND coalesce(q.capability_profile_id, locked.capability_profile_id) = locked.capability_profile_id)`;

function isOfKinds(jobKinds: readonly JobKind[] | null): Prisma.Sql {
  return Prisma.sql`job_kind = ANY(${toDbEnums(jobKinds ?? Object.values(JobKind))}::text[]::"JobKind"[])`;
}

/** Jobs that were not sent back to one worker, or long enough ago. */
const UNRESERVED = Prisma.sql`(preferred_until IS NULL OR preferred_until <= statement_timestamp())`;

/** The workspaces of a claim, in the order of their turns. */
function keyRangesOf(workspaceId: string | null, last: string): readonly KeyRange[] {
  if (workspaceId !== null) {
    const only = Prisma.sql`workspace_id = ${workspaceId}::uuid`;
    const further = Prisma.sql`(job_kind, capability_profile_id) > (here.job_kind, here.capability_profile_id)`;
    return [{ first: only, next: Prisma.sql`${only} AND ${further}` }];
  }
  const upTo = Prisma.sql`workspace_id <= ${last}::uuid`;
  return [
    { first: Prisma.sql`workspace_id > ${last}::uuid`, next: FURTHER },
    { first: upTo, next: Prisma.sql`${upTo} AND ${FURTHER}` },
  ];
}

/**
 * A stretch of places in order: where it begins, and what comes after the place `here`. A hop has one lower bound alone:
 * of two, the index takes the weaker one, and walks over every job from there.
 */
interface KeyRange {
  readonly first: Prisma.Sql;
  readonly next: Prisma.Sql;
}

const FURTHER = Prisma.sql`(workspace_id, job_kind, capability_profile_id)
  > (here.workspace_id, here.job_kind, here.capability_profile_id)`;
const EVERYWHERE: readonly KeyRange[] = [{ first: Prisma.sql`true`, next: FURTHER }];

function toDbEnums(kinds: readonly JobKind[]): string[] {
  return kinds.map((kind) => kind.toLowerCase());
}

/**
 * The places that have a due job, as `ready` and `scheduled`, in the order of their turns.
 * @param isWanted a condition on `place`: the others do not count.
 */
function duePartitions(arcs: readonly KeyRange[], isWanted: Prisma.Sql): Prisma.Sql {
  const isDue = Prisma.sql`(SELECT true FROM ai_jobs WHERE ${DELAY_OVER} AND ${IN_PARTITION} LIMIT 1)`;
  const ready = arcs.map((arc, at) => skipScan(Prisma.raw(`ready_${at}`), READY, arc));
  const scheduled = arcs.map((arc, at) => skipScan(Prisma.raw(`scheduled_${at}`), DELAYED, arc));
  const all = (name: string) => Prisma.raw(arcs.map((_, at) => `SELECT * FROM ${name}_${at}`).join(" UNION ALL "));
  return Prisma.sql`${Prisma.join([...ready, ...scheduled])},
    ready AS MATERIALIZED (
      SELECT *, false AS is_scheduled FROM (${all("ready")}) AS place WHERE ${isWanted} LIMIT ${MAX_PARTITIONS}
    ), scheduled AS MATERIALIZED (
      SELECT *, true AS is_scheduled FROM (${all("scheduled")}) AS place WHERE ${isWanted} AND ${isDue}
      LIMIT ${MAX_PARTITIONS}
    )`;
}

/** Places in order, from each one to the next along the index: a million jobs of one place cost one hop. */
function skipScan(name: Prisma.Sql, condition: Prisma.Sql, { first, next }: KeyRange): Prisma.Sql {
  const hop = (where: Prisma.Sql) => Prisma.sql`
    SELECT workspace_id, job_kind, capability_profile_id FROM ai_jobs WHERE ${condition} AND ${where}
    ORDER BY workspace_id, job_kind, capability_profile_id LIMIT 1`;
  return Prisma.sql`${name} AS (
    (${hop(first)})
    UNION ALL
    SELECT one.* FROM ${name} AS here, LATERAL (${hop(next)}) AS one
  )`;
}
