import type { UsedUp } from "../quotas/admission.ts";
import { LOCKED_COLUMNS, type LockedJob, type Transaction } from "../recorder/commit.ts";
import { Prisma } from "../storage/generated/client/client.ts";
import { JobKind } from "../storage/generated/client/enums.ts";

/** Which due jobs a worker takes. */
export interface Wanted {
  /** One workspace; every one, in turn, where it is null. */
  readonly workspaceId: string | null;
  /** Kinds that the worker can do; all where it is null. */
  readonly jobKinds: readonly JobKind[] | null;
  readonly limit: number;
  readonly workerId: string;
}

/** A workspace and a kind that have a job which is due. */
export interface DuePlace {
  readonly workspaceId: string;
  readonly jobKind: JobKind;
}

/** Places that one claim looks at, at most: the others have their turn at the next. */
export const MOST_PLACES = 200;

/**
 * Locks due jobs: workspaces in turn, inside one by priority, then age. Rows that others hold are passed over, so no
 * claim waits for another, and no two take the same job.
 *
 * What can interleave: many claims plan from the same rows. So the plan, without locks, decides only how many jobs each
 * workspace and kind gives; which ones is decided by the walk that locks, and it goes on past what others took. A claim
 * therefore never locks more than it takes. What another claim took meanwhile fails the recheck of `state = 'queued'`.
 *
 * `FOR NO KEY UPDATE`, as everywhere: FOR UPDATE would also hold up whoever writes a row that refers to the job.
 * @param last the workspace that was served last: the turns begin after it.
 * @param usedUp whose jobs are passed over.
 */
export function lockDueJobs(
  tx: Transaction,
  wanted: Wanted,
  last: string,
  usedUp: readonly UsedUp[] = [],
): Promise<LockedJob[]> {
  const { limit, workerId } = wanted;
  const mine = Prisma.sql`(preferred_until IS NULL OR preferred_until <= statement_timestamp()
    OR preferred_worker_id = ${workerId}) ${exceptProfiles(usedUp)}`;
  const inPlace = Prisma.sql`workspace_id = place.workspace_id AND job_kind = place.job_kind AND ${mine}`;
  const order = Prisma.sql`ORDER BY priority DESC, created_at, job_id`;
  const look = (condition: Prisma.Sql) => Prisma.sql`
    SELECT priority, created_at, job_id FROM ai_jobs WHERE ${condition} AND ${inPlace} ${order} LIMIT ${limit}`;
  const lock = (condition: Prisma.Sql) => Prisma.sql`
    SELECT * FROM ai_jobs WHERE ${condition} AND ${inPlace} ${order} LIMIT place.jobs FOR NO KEY UPDATE SKIP LOCKED`;
  return tx.$queryRaw<LockedJob[]>`
    WITH RECURSIVE ${duePlaces(wanted, last, usedUp)},
    seen AS (
      SELECT place.*, one.* FROM ready AS place, LATERAL (${look(READY)}) AS one
      UNION ALL
      SELECT place.*, one.* FROM scheduled AS place, LATERAL (${look(SCHEDULED)}) AS one
    ), ranked AS (
      SELECT workspace_id, job_kind, is_scheduled,
        row_number() OVER (PARTITION BY workspace_id ORDER BY priority DESC, created_at, job_id) AS turn
      FROM seen
    ), chosen AS MATERIALIZED (
      SELECT workspace_id, job_kind, is_scheduled, count(*) AS jobs
      FROM (SELECT * FROM ranked ORDER BY turn, workspace_id <= ${last}::uuid, workspace_id LIMIT ${limit}) AS first
      GROUP BY workspace_id, job_kind, is_scheduled
    ), locked AS MATERIALIZED (
      SELECT one.* FROM chosen AS place, LATERAL (${lock(READY)}) AS one WHERE NOT place.is_scheduled
      UNION ALL
      SELECT one.* FROM chosen AS place, LATERAL (${lock(SCHEDULED)}) AS one WHERE place.is_scheduled
    )
    SELECT ${LOCKED_COLUMNS} FROM locked ${order}`;
}

/** Leaves out jobs of capability profiles whose quotas are used up. */
function exceptProfiles(usedUp: readonly UsedUp[]): Prisma.Sql {
  const closed = usedUp.filter(({ capabilityProfileId }) => capabilityProfileId !== null);
  if (closed.length === 0) return Prisma.empty;
  const workspaceIds = closed.map((it) => it.workspaceId);
  const profileIds = closed.map((it) => it.capabilityProfileId);
  return Prisma.sql`AND (workspace_id, capability_profile_id) NOT IN (
    SELECT * FROM unnest(${workspaceIds}::uuid[], ${profileIds}::text[]))`;
}

/** Where something is due, for whoever waits: one statement, whatever the number of jobs and of those who wait. */
export function listDuePlaces(tx: Transaction): Promise<DuePlace[]> {
  return tx.$queryRaw<DuePlace[]>`
    WITH RECURSIVE ${duePlaces({ workspaceId: null, jobKinds: null }, NOBODY)}
    SELECT workspace_id AS "workspaceId", upper(job_kind::text) AS "jobKind"
    FROM (SELECT * FROM ready UNION ALL SELECT * FROM scheduled) AS place`;
}

/** Before every workspace. */
export const NOBODY = "00000000-0000-0000-0000-000000000000";

const READY = Prisma.sql`state = 'queued' AND run_after IS NULL`;
const WAITING = Prisma.sql`state = 'queued' AND run_after IS NOT NULL`;
const SCHEDULED = Prisma.sql`${WAITING} AND run_after <= statement_timestamp()`;

/** The places that have a due job, as `ready` and `scheduled`, in the order of their turns. */
function duePlaces(
  { workspaceId, jobKinds }: Pick<Wanted, "workspaceId" | "jobKinds">,
  last: string,
  usedUp: readonly UsedUp[] = [],
): Prisma.Sql {
  const arcs =
    workspaceId === null
      ? [Prisma.sql`workspace_id > ${last}::uuid`, Prisma.sql`workspace_id <= ${last}::uuid`]
      : [Prisma.sql`workspace_id = ${workspaceId}::uuid`];
  const words = (jobKinds ?? Object.values(JobKind)).map((kind) => kind.toLowerCase());
  const closed = usedUp.filter(({ capabilityProfileId }) => capabilityProfileId === null);
  const wanted = Prisma.sql`job_kind = ANY(${words}::text[]::"JobKind"[])
    AND workspace_id <> ALL(${closed.map((it) => it.workspaceId)}::uuid[])`;
  const isDue = Prisma.sql`EXISTS (SELECT FROM ai_jobs j
    WHERE ${SCHEDULED} AND j.workspace_id = place.workspace_id AND j.job_kind = place.job_kind)`;
  const ready = arcs.map((arc, at) => hops(Prisma.raw(`ready_${at}`), Prisma.sql`${READY} AND ${arc}`));
  const scheduled = arcs.map((arc, at) => hops(Prisma.raw(`scheduled_${at}`), Prisma.sql`${WAITING} AND ${arc}`));
  const all = (name: string) => Prisma.raw(arcs.map((_, at) => `SELECT * FROM ${name}_${at}`).join(" UNION ALL "));
  return Prisma.sql`${Prisma.join([...ready, ...scheduled])},
    ready AS MATERIALIZED (
      SELECT *, false AS is_scheduled FROM (${all("ready")}) AS place WHERE ${wanted} LIMIT ${MOST_PLACES}
    ), scheduled AS MATERIALIZED (
      SELECT *, true AS is_scheduled FROM (${all("scheduled")}) AS place WHERE ${wanted} AND ${isDue}
      LIMIT ${MOST_PLACES}
    )`;
}

/** Places in order, from each one to the next along the index: a million jobs of one place cost one hop. */
function hops(name: Prisma.Sql, condition: Prisma.Sql): Prisma.Sql {
  const next = (after: Prisma.Sql) => Prisma.sql`
    SELECT workspace_id, job_kind FROM ai_jobs WHERE ${condition} ${after} ORDER BY workspace_id, job_kind LIMIT 1`;
  return Prisma.sql`${name} AS (
    (${next(Prisma.empty)})
    UNION ALL
    SELECT one.* FROM ${name} AS here,
      LATERAL (${next(Prisma.sql`AND (workspace_id, job_kind) > (here.workspace_id, here.job_kind)`)}) AS one
  )`;
}
