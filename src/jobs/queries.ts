import {
  type AiJob,
  type FlightRecorderEvent,
  type NodeExecution,
  Prisma,
  type PrismaClient,
  type WorkflowRun,
} from "../db/generated/client/client.ts";
import { JobKind, JobState, RecorderEventType } from "../db/generated/client/enums.ts";
import { type JobField, jobColumns } from "../db/job-columns.ts";
import { EVENT_COLUMNS, NODE_COLUMNS, NODE_COLUMNS_WITHOUT_PAYLOADS, RUN_COLUMNS } from "../db/rows.ts";

/**
 * Reads of lists, by keyset: a page starts after a place that a row had, so that rows inserted meanwhile move nothing.
 * Every read has a bound.
 */

/** A part of a list: at most `limit` rows strictly between two places, from the list's start or from its end. */
export interface Slice<Key> {
  readonly limit: number;
  readonly after?: Key | undefined;
  readonly before?: Key | undefined;
  /** Read from the end towards the start. */
  readonly fromEnd: boolean;
}

export interface JobFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly kinds?: readonly JobKind[] | null | undefined;
  readonly protocolId?: string | null | undefined;
  readonly parentJobId?: string | null | undefined;
  readonly createdAfter?: Date | null | undefined;
  readonly createdBefore?: Date | null | undefined;
}

/** Where a job stands in the list: newest first, the id telling apart what was created in one millisecond. */
export interface JobKey {
  readonly createdAt: Date;
  readonly jobId: string;
}

/** A job of the workspace; null where it has none of this id. Only the columns that are named are read. */
export async function findJob(
  prisma: PrismaClient,
  workspaceId: string,
  jobId: string,
  fields: readonly JobField[],
): Promise<AiJob | null> {
  const [job] = await prisma.$queryRaw<AiJob[]>`
    SELECT ${jobColumns(fields)} FROM ai_jobs WHERE job_id = ${jobId}::uuid AND workspace_id = ${workspaceId}::uuid`;
  return job ?? null;
}

/** Jobs newest first. Only the columns that are named are read; the others are missing. */
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
  const bounds = [...withinSlice(slice), ...jobConditions(filter)];
  return prisma.$queryRaw<AiJob[]>`
    SELECT ${jobColumns(fields)} FROM (${jobSource(workspaceId, filter, bounds, order)}) AS job ${order}`;
}

/** Jobs that something is to be done with. */
export interface JobSelection extends JobFilter {
  /** Whether those that have cost more than their budget are left out. */
  readonly withinBudget?: boolean;
}

/** A select of such jobs, oldest first, for a statement that does something with them. */
export function selectOldestJobs(workspaceId: string, which: JobSelection, limit: number): Prisma.Sql {
  const order = Prisma.sql`ORDER BY created_at, job_id LIMIT ${limit}`;
  const budget = which.withinBudget ? [Prisma.sql`(token_budget IS NULL OR total_tokens <= token_budget)`] : [];
  const source = jobSource(workspaceId, which, [...jobConditions(which), ...budget], order);
  return Prisma.sql`SELECT job_id, created_at FROM (${source}) AS job ${order}`;
}

/**
 * Each state and kind that is asked for is a short walk of its own along the index, and the walks are merged: a filter
 * that matches little costs no scan of what it does not match.
 */
function jobSource(workspaceId: string, filter: JobFilter, bounds: Prisma.Sql[], order: Prisma.Sql): Prisma.Sql {
  const where = Prisma.join([Prisma.sql`workspace_id = ${workspaceId}::uuid`, ...bounds], " AND ");
  if (!filter.states && !filter.kinds) return Prisma.sql`SELECT * FROM ai_jobs WHERE ${where} ${order}`;
  return Prisma.sql`
    SELECT one.* FROM unnest(${words(filter.states ?? Object.values(JobState))}::text[]::"JobState"[]) AS wanted_state,
      unnest(${words(filter.kinds ?? Object.values(JobKind))}::text[]::"JobKind"[]) AS wanted_kind,
      LATERAL (SELECT * FROM ai_jobs WHERE state = wanted_state AND job_kind = wanted_kind AND ${where} ${order}) AS one`;
}

function withinSlice({ after, before }: Slice<JobKey>): Prisma.Sql[] {
  return [
    ...(after ? [Prisma.sql`(created_at, job_id) < (${after.createdAt}, ${after.jobId}::uuid)`] : []),
    ...(before ? [Prisma.sql`(created_at, job_id) > (${before.createdAt}, ${before.jobId}::uuid)`] : []),
  ];
}

function jobConditions({ protocolId, parentJobId, createdAfter, createdBefore }: JobFilter): Prisma.Sql[] {
  return [
    ...(protocolId == null ? [] : [Prisma.sql`protocol_id = ${protocolId}`]),
    ...(parentJobId == null ? [] : [Prisma.sql`parent_job_id = ${parentJobId}::uuid`]),
    ...(createdAfter == null ? [] : [Prisma.sql`created_at > ${createdAfter}`]),
    ...(createdBefore == null ? [] : [Prisma.sql`created_at < ${createdBefore}`]),
  ];
}

function words(names: readonly string[]): string[] {
  return [...new Set(names)].map((name) => name.toLowerCase());
}

/** How many jobs match: exact, and read only where a client asks for it. */
export function countJobs(prisma: PrismaClient, workspaceId: string, filter: JobFilter): Promise<number> {
  const { states, kinds, protocolId, parentJobId, createdAfter, createdBefore } = filter;
  return prisma.aiJob.count({
    where: {
      workspaceId,
      ...(states ? { state: { in: [...states] } } : {}),
      ...(kinds ? { jobKind: { in: [...kinds] } } : {}),
      ...(protocolId == null ? {} : { protocolId }),
      ...(parentJobId == null ? {} : { parentJobId }),
      createdAt: { ...(createdAfter ? { gt: createdAfter } : {}), ...(createdBefore ? { lt: createdBefore } : {}) },
    },
  });
}

/** Jobs by their ids. Only the columns that are named are read; the others are missing. */
export async function findJobs(
  prisma: PrismaClient,
  jobIds: readonly string[],
  fields: readonly JobField[],
): Promise<ReadonlyMap<string, AiJob>> {
  const rows = await prisma.$queryRaw<AiJob[]>`
    SELECT ${jobColumns(fields)} FROM ai_jobs WHERE job_id = ANY(${jobIds}::uuid[])`;
  return new Map(rows.map((row) => [row.jobId, row]));
}

/** Runs by their ids. */
export async function findRuns(
  prisma: PrismaClient,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, WorkflowRun>> {
  const rows = await prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM workflow_runs WHERE id = ANY(${runIds}::uuid[])`;
  return new Map(rows.map((row) => [row.id, row]));
}

/** All nodes of several runs, in the order of their sequences, in one statement; a run has at most 1,000. By run id. */
export async function listNodesOf(
  prisma: PrismaClient,
  runIds: readonly string[],
  withPayloads: boolean,
): Promise<ReadonlyMap<string, NodeExecution[]>> {
  const columns = withPayloads ? NODE_COLUMNS : NODE_COLUMNS_WITHOUT_PAYLOADS;
  const rows = await prisma.$queryRaw<NodeExecution[]>`
    SELECT ${columns} FROM node_executions WHERE workflow_run_id = ANY(${runIds}::uuid[])
    ORDER BY workflow_run_id, sequence`;
  return groupBy(rows, ({ workflowRunId }) => workflowRunId);
}

/** Part of the runs of several jobs, in the order of their attempts, in one statement. By job id. */
export async function listRunsOf(
  prisma: PrismaClient,
  jobIds: readonly string[],
  slice: Slice<number>,
): Promise<ReadonlyMap<string, WorkflowRun[]>> {
  const rows = await prisma.$queryRaw<WorkflowRun[]>`
    SELECT ${RUN_COLUMNS} FROM unnest(${jobIds}::uuid[]) AS parent, LATERAL (
      SELECT * FROM workflow_runs WHERE job_id = parent ${ofEach(Prisma.sql`attempt`, slice)}) AS run`;
  return groupBy(rows, ({ jobId }) => jobId);
}

/** Part of the events of several jobs, in the order of their versions, in one statement. By job id. */
export async function listEventsOf(
  prisma: PrismaClient,
  jobIds: readonly string[],
  slice: Slice<number>,
): Promise<ReadonlyMap<string, FlightRecorderEvent[]>> {
  const rows = await prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM unnest(${jobIds}::uuid[]) AS parent, LATERAL (
      SELECT * FROM flight_recorder_events WHERE job_id = parent ${ofEach(Prisma.sql`version`, slice)}) AS event`;
  return groupBy(rows, ({ jobId }) => jobId);
}

/** Rows by what they belong to, each list in the order of the rows. */
export function groupBy<Row>(rows: readonly Row[], idOf: (row: Row) => string): ReadonlyMap<string, Row[]> {
  const lists = new Map<string, Row[]>();
  for (const row of rows) {
    const list = lists.get(idOf(row));
    if (list) list.push(row);
    else lists.set(idOf(row), [row]);
  }
  return lists;
}

function ofEach(column: Prisma.Sql, { limit, after, before, fromEnd }: Slice<number>): Prisma.Sql {
  const above = after === undefined ? Prisma.empty : Prisma.sql`AND ${column} > ${after}`;
  const below = before === undefined ? Prisma.empty : Prisma.sql`AND ${column} < ${before}`;
  return Prisma.sql`${above} ${below} ORDER BY ${column} ${fromEnd ? Prisma.sql`DESC` : Prisma.sql`ASC`} LIMIT ${limit}`;
}

export interface EventFilter {
  readonly jobId?: string | null | undefined;
  readonly traceId?: string | null | undefined;
  readonly types?: readonly RecorderEventType[] | null | undefined;
  readonly recordedAfter?: Date | null | undefined;
  readonly recordedBefore?: Date | null | undefined;
}

export interface EventKey {
  readonly recordedAt: Date;
  readonly jobId: string;
  readonly version: number;
}

/** Events newest first: those of one job or trace where the filter names one, else of each type, merged. */
export function listEvents(
  prisma: PrismaClient,
  workspaceId: string,
  filter: EventFilter,
  { limit, after }: Slice<EventKey>,
): Promise<FlightRecorderEvent[]> {
  const { jobId, traceId, recordedAfter, recordedBefore } = filter;
  const order = Prisma.sql`ORDER BY recorded_at DESC, job_id DESC, version DESC LIMIT ${limit}`;
  const conditions = [
    Prisma.sql`workspace_id = ${workspaceId}::uuid`,
    ...(after
      ? [Prisma.sql`(recorded_at, job_id, version) < (${after.recordedAt}, ${after.jobId}::uuid, ${after.version})`]
      : []),
    ...(jobId == null ? [] : [Prisma.sql`job_id = ${jobId}::uuid`]),
    ...(traceId == null ? [] : [Prisma.sql`trace_id = ${traceId}::uuid`]),
    ...(recordedAfter == null ? [] : [Prisma.sql`recorded_at > ${recordedAfter}`]),
    ...(recordedBefore == null ? [] : [Prisma.sql`recorded_at < ${recordedBefore}`]),
  ];
  const where = Prisma.join(conditions, " AND ");
  const types = words(filter.types ?? Object.values(RecorderEventType));
  return prisma.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM (
      SELECT one.* FROM unnest(${types}::text[]::"RecorderEventType"[]) AS wanted,
        LATERAL (SELECT * FROM flight_recorder_events WHERE type = wanted AND ${where} ${order}) AS one
    ) AS event ${order}`;
}
