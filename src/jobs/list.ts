import { type ScopedId, scopedIdTable } from "../db/batched-read.ts";
import { selectBounded, withinBound } from "../db/document-bound.ts";
import { kindCodes, stateCodes } from "../db/enum-codes.ts";
import { type AiJob, Prisma, type PrismaClient } from "../db/generated/client/client.ts";
import { isDocumentField, type JobField } from "../db/job-columns.ts";
import type { Slice } from "../db/slice.ts";
import { ALL_ROWS, selectCandidates } from "./candidates.ts";
import { conditionsOf, type EnumCondition, enumIn, type JobFilter } from "./filter.ts";
import { costFault } from "./list-by-cost.ts";
import { selectByUpdate } from "./list-by-update.ts";

/** Reads jobs by id, as lists, and counts them. Every list is limited. */

/** By what a list is ordered, and in which direction. Jobs of the same millisecond, or of the same cost, are ordered by id. */
export interface JobOrder {
  readonly field: keyof typeof ORDER_COLUMNS;
  readonly direction: "ASC" | "DESC";
}

/** What lists can be ordered by: the columns. */
const ORDER_COLUMNS = {
  CREATED_AT: Prisma.sql`created_at`,
  UPDATED_AT: Prisma.sql`updated_at`,
  COST: Prisma.sql`cost_micros`,
};

export const NEWEST_FIRST: JobOrder = { field: "CREATED_AT", direction: "DESC" };

/** A job's position in a list: what the list is ordered by, a time or a cost in millionths, then the id. */
export interface JobKey {
  readonly at: Date | number;
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
 * @throws InvalidInputError where the filter has not the bounds that the order needs.
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
  const fault = field === "COST" ? costFault(filter) : null;
  if (fault) throw fault;
  const { limit, fromEnd } = slice;
  const way = (direction === "DESC") === fromEnd ? Prisma.sql`ASC` : Prisma.sql`DESC`;
  const column = ORDER_COLUMNS[field];
  const bounds = (of: Prisma.Sql) => sliceConditions(Prisma.sql`(${of}, job_id)`, slice, direction);
  const orderBy = Prisma.sql`ORDER BY ${column} ${way}, job_id ${way}`;
  const orderAndLimit = Prisma.sql`${orderBy} LIMIT ${limit}`;
  const sourceOf = {
    CREATED_AT: () => selectJobs(ALL_COLUMNS, workspaceId, filter, { bounds: bounds(column), way, limit }),
    UPDATED_AT: () => selectByUpdate(workspaceId, filter, { bounds, way, limit }),
    COST: () => selectJobsToSort(workspaceId, filter, bounds(column)),
  };
  const source = sourceOf[field]();
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
  const counts = selectJobs(Prisma.sql`count(*) AS jobs`, workspaceId, filter);
  const [row] = await prisma.$queryRaw<{ jobs: bigint }[]>`
    SELECT coalesce(sum(jobs), 0)::bigint AS jobs FROM (${counts}) AS scan`;
  return Number(row?.jobs);
}

/** The jobs that a bulk action selects. */
export interface JobSelection extends JobFilter {
  /** Whether jobs that have exceeded a budget are left out. */
  readonly withinBudget?: boolean;
}

/** @returns a SELECT of `job_id` and `created_at` of the oldest such jobs, oldest first, for use inside another statement. */
export function selectOldestJobs(workspaceId: string, selection: JobSelection, limit: number): Prisma.Sql {
  const conditions = selection.withinBudget ? [IS_WITHIN_BUDGET] : [];
  const source = selectJobs(ALL_COLUMNS, workspaceId, selection, { conditions, way: Prisma.sql`ASC`, limit });
  return Prisma.sql`SELECT job_id, created_at FROM (${source}) AS job ORDER BY created_at, job_id LIMIT ${limit}`;
}

/** What `passedBudget` decides, in SQL. */
const IS_WITHIN_BUDGET = Prisma.sql`(token_budget IS NULL OR total_tokens <= token_budget)
  AND (cost_budget_micros IS NULL OR cost_micros <= cost_budget_micros)`;

const ALL_COLUMNS = Prisma.sql`ai_jobs.*`;

/** Which of the matching jobs a statement reads; left out, all of them in any order. */
interface Page {
  /** Conditions on `created_at` and `job_id`. */
  readonly bounds?: readonly Prisma.Sql[];
  /** Further conditions on `ai_jobs`. */
  readonly conditions?: readonly Prisma.Sql[];
  readonly way?: Prisma.Sql;
  readonly limit?: number | Prisma.Sql;
  /** Whether states and kinds, too, are looked at in one scan. */
  readonly isOneScan?: true;
}

/**
 * Builds a SELECT of all jobs that match, in any order: what they are sorted by has no index. They are read from the index as a list by
 * age is, and in one scan, so that each job of the filter's time is looked at once, and no other. Without an order, PostgreSQL may read
 * all jobs of the workspace; for each pair of a state and a kind, it may read all of that time.
 * @param conditions further conditions on `ai_jobs`.
 */
export function selectJobsToSort(
  workspaceId: string,
  filter: JobFilter,
  conditions: readonly Prisma.Sql[] = [],
): Prisma.Sql {
  const page = { conditions, way: Prisma.sql`DESC`, limit: ALL_ROWS, isOneScan: true } as const;
  return selectJobs(ALL_COLUMNS, workspaceId, filter, page);
}

/**
 * Builds a SELECT of the jobs that match, as one scan or as several. The caller must merge the rows of the scans, by ordering and
 * limiting them again or by adding them up.
 *
 * With states or kinds in the filter, each pair of a state and a kind is a separate short scan of the index that has these columns
 * right after the workspace. A single condition such as `state_code = ANY(...)` would instead read and discard all newer jobs that do
 * not match. Where another table lists the jobs (candidates.ts), each is looked up by its id: OFFSET 0 keeps PostgreSQL from joining
 * all of them first and sorting them.
 * @param columns the select list of each scan.
 */
export function selectJobs(columns: Prisma.Sql, workspaceId: string, filter: JobFilter, page: Page = {}): Prisma.Sql {
  const { bounds = [], conditions = [], way, limit, isOneScan = false } = page;
  const codes: Partial<Record<EnumCondition["column"], readonly number[]>> = {};
  const ofFilter = conditionsOf(filter).map(({ sql }) => sql);
  const others = [Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...conditions];
  const order = (of: Prisma.Sql) =>
    way ? Prisma.sql`ORDER BY ${of}.created_at ${way}, ${of}.job_id ${way} LIMIT ${limit}` : Prisma.empty;
  const candidates = selectCandidates(workspaceId, filter, { bounds, ...(way ? { way } : {}) });
  if (candidates) {
    const where = Prisma.join([...others, ...ofFilter.map((sql) => ("column" in sql ? enumIn(sql) : sql))], " AND ");
    return Prisma.sql`
      SELECT ${columns} FROM (${candidates}) AS candidate, LATERAL (
        SELECT * FROM ai_jobs WHERE job_id = candidate.job_id AND ${where} OFFSET 0) AS ai_jobs
      ${order(Prisma.sql`candidate`)}`;
  }
  others.push(...bounds);
  for (const sql of ofFilter) {
    if (!("column" in sql)) others.push(sql);
    else if (isOneScan) others.push(enumIn(sql));
    else codes[sql.column] = sql.codes;
  }
  const where = Prisma.join(others, " AND ");
  const orderAndLimit = order(Prisma.sql`ai_jobs`);
  if (!codes.state_code && !codes.job_kind_code)
    return Prisma.sql`SELECT ${columns} FROM ai_jobs WHERE ${where} ${orderAndLimit}`;
  return Prisma.sql`
    SELECT scan.* FROM unnest(${codes.state_code ?? stateCodes()}::int2[]) AS wanted_state,
      unnest(${codes.job_kind_code ?? kindCodes()}::int2[]) AS wanted_kind,
      LATERAL (
        SELECT ${columns} FROM ai_jobs WHERE state_code = wanted_state AND job_kind_code = wanted_kind AND ${where} ${orderAndLimit}
      ) AS scan`;
}

/** @param key the columns of the list's key, as a row of SQL. */
function sliceConditions(
  key: Prisma.Sql,
  { after, before }: Slice<JobKey>,
  direction: JobOrder["direction"],
): Prisma.Sql[] {
  const [above, below] = direction === "ASC" ? [after, before] : [before, after];
  const place = ({ at, jobId }: JobKey) => Prisma.sql`(${at}, ${jobId}::uuid)`;
  return [
    ...(above ? [Prisma.sql`${key} > ${place(above)}`] : []),
    ...(below ? [Prisma.sql`${key} < ${place(below)}`] : []),
  ];
}
