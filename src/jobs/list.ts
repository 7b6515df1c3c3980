import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { type AiJob, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { JobKind, JobState } from "../db/generated/client/enums.ts";
import { type JobField, jobColumns } from "../db/job-columns.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Slice } from "../db/slice.ts";
import { conditionsOf, type EnumCondition, type JobFilter } from "./filter.ts";

/** Reads jobs by id, as lists, and counts them. Every list is limited. */

/** The key by which lists are ordered: creation time, then the id for jobs that were created in the same millisecond. */
export interface JobKey {
  readonly createdAt: Date;
  readonly jobId: string;
}

/**
 * Reads jobs by id, each only in its given workspace.
 * @param fields the columns to read, in addition to the job's and the workspace's id. All others are missing in the rows.
 * @returns the jobs that exist, in any order.
 */
export function findJobs(
  prisma: PrismaClient,
  items: readonly ScopedId[],
  fields: readonly JobField[],
): Promise<AiJob[]> {
  const columns = jobColumns([...new Set<JobField>(["jobId", "workspaceId", ...fields])]);
  return prisma.$queryRaw<AiJob[]>`
    SELECT ${columns} FROM ${scopedIdTable(items)} JOIN ai_jobs ON job_id = requested_id AND workspace_id = requested_workspace_id`;
}

/**
 * Lists a workspace's jobs that match a filter.
 * @param fields the columns to read. All others are missing in the rows.
 * @returns the jobs of the slice, newest first; oldest first where the slice counts from the end.
 */
export function listJobs(
  prisma: PrismaClient,
  workspaceId: string,
  filter: JobFilter,
  slice: Slice<JobKey>,
  fields: readonly JobField[],
): Promise<AiJob[]> {
  const { limit, fromEnd } = slice;
  const direction = fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`;
  const order = Prisma.sql`ORDER BY created_at ${direction}, job_id ${direction} LIMIT ${limit}`;
  return prisma.$queryRaw<AiJob[]>`
    SELECT ${jobColumns(fields)} FROM (${selectJobs(ALL_COLUMNS, workspaceId, filter, sliceConditions(slice), order)}) AS job ${order}`;
}

/** @returns the exact number of matching jobs. Its cost grows with that number, so it is counted only on request. */
export async function countJobs(prisma: PrismaClient, workspaceId: string, filter: JobFilter): Promise<number> {
  const counts = selectJobs(Prisma.sql`count(*) AS jobs`, workspaceId, filter, [], Prisma.empty);
  const [row] = await prisma.$queryRaw<{ jobs: bigint }[]>`
    SELECT coalesce(sum(jobs), 0)::bigint AS jobs FROM (${counts}) AS scan`;
  return Number(row?.jobs);
}

/** The jobs that a bulk action selects. */
export interface JobSelection extends JobFilter {
  /** Whether jobs that have exceeded their token budget are left out. */
  readonly withinBudget?: boolean;
}

/** @returns a SELECT of `job_id` and `created_at` of the oldest such jobs, oldest first, for use inside another statement. */
export function selectOldestJobs(workspaceId: string, selection: JobSelection, limit: number): Prisma.Sql {
  const order = Prisma.sql`ORDER BY created_at, job_id LIMIT ${limit}`;
  const budget = selection.withinBudget ? [Prisma.sql`(token_budget IS NULL OR total_tokens <= token_budget)`] : [];
  const source = selectJobs(ALL_COLUMNS, workspaceId, selection, budget, order);
  return Prisma.sql`SELECT job_id, created_at FROM (${source}) AS job ${order}`;
}

const ALL_COLUMNS = Prisma.sql`*`;

/**
 * Builds a SELECT of the jobs that match, as one index scan or as several. The caller must merge the rows of the scans, by
 * ordering and limiting them again or by adding them up.
 *
 * With states or kinds in the filter, each pair of a state and a kind is a separate short scan of the index that has
 * these columns right after the workspace. A single condition such as `state = ANY(...)` would instead read and discard all newer jobs that do not match.
 * @param columns the select list of each scan.
 * @param extraConditions further conditions on `ai_jobs`.
 * @param orderAndLimit the ORDER BY and LIMIT of each scan; empty for a count.
 */
function selectJobs(
  columns: Prisma.Sql,
  workspaceId: string,
  filter: JobFilter,
  extraConditions: readonly Prisma.Sql[],
  orderAndLimit: Prisma.Sql,
): Prisma.Sql {
  const enumValues: Partial<Record<EnumCondition["column"], readonly string[]>> = {};
  const conditions = [Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...extraConditions];
  for (const { sql } of conditionsOf(filter)) {
    if ("column" in sql) enumValues[sql.column] = sql.dbValues;
    else conditions.push(sql);
  }
  const where = Prisma.join(conditions, " AND ");
  if (!enumValues.state && !enumValues.job_kind)
    return Prisma.sql`SELECT ${columns} FROM ai_jobs WHERE ${where} ${orderAndLimit}`;
  return Prisma.sql`
    SELECT scan.* FROM unnest(${enumValues.state ?? ALL_STATES}::text[]::"JobState"[]) AS wanted_state,
      unnest(${enumValues.job_kind ?? ALL_KINDS}::text[]::"JobKind"[]) AS wanted_kind,
      LATERAL (SELECT ${columns} FROM ai_jobs WHERE state = wanted_state AND job_kind = wanted_kind AND ${where} ${orderAndLimit}) AS scan`;
}

const ALL_STATES = Object.values(JobState).map((state) => toDbEnum(state));
const ALL_KINDS = Object.values(JobKind).map((kind) => toDbEnum(kind));

function sliceConditions({ after, before }: Slice<JobKey>): Prisma.Sql[] {
  return [
    ...(after ? [Prisma.sql`(created_at, job_id) < (${after.createdAt}, ${after.jobId}::uuid)`] : []),
    ...(before ? [Prisma.sql`(created_at, job_id) > (${before.createdAt}, ${before.jobId}::uuid)`] : []),
  ];
}
