import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { selectBounded, withinBound } from "../db/document-bound.ts";
import { type AiJob, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { JobKind, JobState } from "../db/generated/client/enums.ts";
import { isDocumentField, type JobField } from "../db/job-columns.ts";
import { toDbEnum } from "../db/rows.ts";
import type { Slice } from "../db/slice.ts";
import { conditionsOf, type EnumCondition, type JobFilter } from "./filter.ts";
import { selectByUpdate } from "./list-by-update.ts";

/** Reads jobs by id, as lists, and counts them. Every list is limited. */

/** By which time a list is ordered, and in which direction. Jobs of the same millisecond are ordered by id. */
export interface JobOrder {
  readonly field: keyof typeof ORDER_COLUMNS;
  readonly direction: "ASC" | "DESC";
}

/** What lists can be ordered by: the columns of the times. */
const ORDER_COLUMNS = { CREATED_AT: Prisma.sql`created_at`, UPDATED_AT: Prisma.sql`updated_at` };

export const NEWEST_FIRST: JobOrder = { field: "CREATED_AT", direction: "DESC" };

/** A job's position in a list: the time that the list is ordered by, then the id. */
export interface JobKey {
  readonly at: Date;
  readonly jobId: string;
}

/**
 * Reads jobs by id, each only in its given workspace.
 * @param fields the columns to read, in addition to the job's and the workspace's id. All others are missing in the rows.
 * @returns the jobs that exist, in any order.
 */
export async function findJobs(
  prisma: PrismaClient,
  items: readonly ScopedId[],
  fields: readonly JobField[],
): Promise<AiJob[]> {
  const from = Prisma.sql`${scopedIdTable(items)}
    JOIN ai_jobs ON job_id = requested_id AND workspace_id = requested_workspace_id`;
  const all = [...new Set<JobField>(["jobId", "workspaceId", ...fields])];
  return withinBound(
    await prisma.$queryRaw<AiJob[]>(selectBounded({ rows: Prisma.sql`ai_jobs.*`, from }, all, isDocumentField)),
  );
}

/**
 * Lists a workspace's jobs that match a filter.
 * @param fields the columns to read. All others are missing in the rows.
 * @returns the jobs of the slice, in the list's order; in the reverse order where the slice counts from the end.
 */
export async function listJobs(
  prisma: PrismaClient,
  workspaceId: string,
  filter: JobFilter,
  slice: Slice<JobKey>,
  fields: readonly JobField[],
  order: JobOrder = NEWEST_FIRST,
): Promise<AiJob[]> {
  const { field, direction } = order;
  const { limit, fromEnd } = slice;
  const way = (direction === "DESC") === fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`;
  const time = ORDER_COLUMNS[field];
  const orderAndLimit = Prisma.sql`ORDER BY ${time} ${way}, job_id ${way} LIMIT ${limit}`;
  const bounds = (of: Prisma.Sql) => sliceConditions(Prisma.sql`(${of}, job_id)`, slice, direction);
  const source =
    field === "CREATED_AT"
      ? selectJobs(ALL_COLUMNS, workspaceId, filter, bounds(time), orderAndLimit)
      : selectByUpdate(workspaceId, filter, { bounds, way, limit });
  const orderBy = Prisma.sql`ORDER BY ${time} ${way}, job_id ${way}`;
  const page = { rows: Prisma.sql`job.*`, from: Prisma.sql`(${source}) AS job`, orderAndLimit, orderBy };
  return withinBound(await prisma.$queryRaw<AiJob[]>(selectBounded(page, fields, isDocumentField)));
}

/**
 * Lists the children of several jobs, in one statement.
 * @param fields the columns to read, in addition to those that tell whose child a job is.
 * @returns a slice of the children of each job, in the order of `listJobs`.
 */
export async function listChildrenOf(
  prisma: PrismaClient,
  parents: readonly ScopedId[],
  slice: Slice<JobKey>,
  fields: readonly JobField[],
): Promise<AiJob[]> {
  const all = [...new Set<JobField>(["parentJobId", "workspaceId", ...fields])];
  const bounds = sliceConditions(Prisma.sql`(created_at, job_id)`, slice, NEWEST_FIRST.direction);
  const way = slice.fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`;
  const where = Prisma.join(
    [Prisma.sql`parent_job_id = requested_id`, Prisma.sql`workspace_id = requested_workspace_id`, ...bounds],
    " AND ",
  );
  const from = Prisma.sql`${scopedIdTable(parents)}, LATERAL (
      SELECT * FROM ai_jobs WHERE ${where} ORDER BY created_at ${way}, job_id ${way} LIMIT ${slice.limit}) AS child`;
  const children = { rows: Prisma.sql`child.*`, from, orderBy: Prisma.sql`ORDER BY created_at ${way}, job_id ${way}` };
  return withinBound(await prisma.$queryRaw<AiJob[]>(selectBounded(children, all, isDocumentField)));
}

/** The number of a job's children. */
export interface ChildCount {
  readonly workspaceId: string;
  readonly parentJobId: string;
  readonly children: number;
}

/** Counts the children of several jobs, in one statement; a job without any is left out. */
export function countChildrenOf(prisma: PrismaClient, parents: readonly ScopedId[]): Promise<ChildCount[]> {
  return prisma.$queryRaw<ChildCount[]>`
    SELECT workspace_id AS "workspaceId", parent_job_id AS "parentJobId", count(*)::int AS children
    FROM ${scopedIdTable(parents)} JOIN ai_jobs ON parent_job_id = requested_id AND workspace_id = requested_workspace_id
    GROUP BY workspace_id, parent_job_id`;
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
 * With states or kinds in the filter, each pair of a state and a kind is a separate short scan of the index that has these columns
 * right after the workspace. A single condition such as `state = ANY(...)` would instead read and discard all newer jobs that do
 * not match.
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

/** @param key the columns of the list's key, as a row of SQL. */
function sliceConditions(
  key: Prisma.Sql,
  { after, before }: Slice<JobKey>,
  direction: JobOrder["direction"],
): Prisma.Sql[] {
  const [above, below] = direction === "ASC" ? [after, before] : [before, after];
  return [
    ...(above ? [Prisma.sql`${key} > (${above.at}, ${above.jobId}::uuid)`] : []),
    ...(below ? [Prisma.sql`${key} < (${below.at}, ${below.jobId}::uuid)`] : []),
  ];
}
