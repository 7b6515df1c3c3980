import { kindCodes, stateCodes } from "../db/enum-codes.ts";
import { Prisma } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import type { Label } from "../db/job-labels.ts";
import { type JsonValue, snakeCase, toDbEnum } from "../db/rows.ts";
import type { ImmutableJob, JobAtVersion } from "../log/read.ts";
import { hasLabels, isSame } from "./labels.ts";

/**
 * Selects jobs: all given conditions must hold. A field that is null or left out is no condition. A list matches any of its
 * values, so an empty list matches no job; repeated values have no effect.
 */
export interface JobFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly kinds?: readonly JobKind[] | null | undefined;
  readonly protocolId?: string | null | undefined;
  readonly parentJobId?: string | null | undefined;
  /** Exclusive, as `createdBefore` is: a job that was created in exactly this millisecond does not match. */
  readonly createdAfter?: Date | null | undefined;
  readonly createdBefore?: Date | null | undefined;
  readonly traceId?: string | null | undefined;
  /** The worker that has the job's lease, or the last that had it. */
  readonly workerId?: string | null | undefined;
  readonly capabilityProfileId?: string | null | undefined;
  readonly idempotencyKey?: string | null | undefined;
  /** The tree with this root; the root itself matches, too. */
  readonly rootJobId?: string | null | undefined;
  /** Only jobs without a parent. False is no condition. */
  readonly rootsOnly?: boolean | null | undefined;
  /** Exclusive, as `updatedBefore` is. */
  readonly updatedAfter?: Date | null | undefined;
  readonly updatedBefore?: Date | null | undefined;
  /** All of them, as no job has a key twice. An empty list matches no job here, too: a bulk action refuses it. */
  readonly labels?: readonly Label[] | null | undefined;
  /** The principal that submitted the job. */
  readonly submittedBy?: string | null | undefined;
}

/** One condition of a filter with its value, in every form in which the server needs it. */
export interface JobCondition {
  /** A condition on the columns of `ai_jobs`, by their names without a table. */
  readonly sql: Prisma.Sql | EnumCondition;
  /** The same condition for a job in memory, as it was at one of its versions. */
  readonly matches: (job: ImmutableJob, version: JobAtVersion) => boolean;
  /** The value as a bulk action stores it, with enum values as in the database. */
  readonly stored: JsonValue;
  /** Whether it is about nothing but `created_at`, which every table has that jobs are listed from. */
  readonly isOfKey?: true;
  /** True for an empty list, which no job can match. */
  readonly isEmpty?: boolean;
}

/**
 * A condition on one of the enum columns that come, as numbers, right after the workspace in the index for lists. It is not SQL,
 * because `selectJobs` scans that index once for each value.
 */
export interface EnumCondition {
  readonly column: "state_code" | "job_kind_code";
  /** The values as numbers, each once: a repeated value would return its jobs twice. */
  readonly codes: readonly number[];
}

const ENUM_COLUMNS = { state_code: Prisma.sql`state_code`, job_kind_code: Prisma.sql`job_kind_code` };

/** @returns the condition as SQL, for a statement that scans no index for each value. */
export function enumIn({ column, codes }: EnumCondition): Prisma.Sql {
  return Prisma.sql`${ENUM_COLUMNS[column]} = ANY(${codes}::int2[])`;
}

type JobConditions = { readonly [Field in keyof Required<JobFilter>]: JobConditionOf<NonNullable<JobFilter[Field]>> };
/** @returns undefined where the value is no condition, as `rootsOnly: false` is. */
type JobConditionOf<Value> = (value: Value) => JobCondition | undefined;

/**
 * Defines what each field of a filter means, for lists, counts, subscriptions and bulk actions alike. A field without an entry
 * is a compile error: a statement that ignored it would match every job, and a bulk action would change jobs that nobody
 * selected.
 */
const CONDITIONS: JobConditions = {
  states: (states) => ({
    ...enumCondition("state_code", stateCodes(states), states),
    matches: (_job, { state }) => states.includes(state),
  }),
  kinds: (kinds) => ({
    ...enumCondition("job_kind_code", kindCodes(kinds), kinds),
    matches: ({ jobKind }) => kinds.includes(jobKind),
  }),
  protocolId: (protocolId) => ({
    sql: Prisma.sql`protocol_id = ${protocolId}`,
    matches: (job) => job.protocolId === protocolId,
    stored: protocolId,
  }),
  parentJobId: (parentJobId) => ({
    sql: Prisma.sql`parent_job_id = ${parentJobId}::uuid`,
    matches: (job) => job.parentJobId === parentJobId,
    stored: parentJobId,
  }),
  createdAfter: (moment) => ({
    sql: Prisma.sql`created_at > ${moment}`,
    isOfKey: true,
    matches: ({ createdAt }) => createdAt > moment,
    stored: moment.toISOString(),
  }),
  createdBefore: (moment) => ({
    sql: Prisma.sql`created_at < ${moment}`,
    isOfKey: true,
    matches: ({ createdAt }) => createdAt < moment,
    stored: moment.toISOString(),
  }),
  traceId: (traceId) => ({
    // The log has an index by trace, and ai_jobs has none: each version of a job would have to keep it up to date.
    sql: Prisma.sql`job_id = ANY(ARRAY(
      SELECT logged.job_id FROM flight_recorder_events logged WHERE logged.trace_id = ${traceId}::uuid AND logged.version = 1))`,
    matches: (job) => job.traceId === traceId,
    stored: traceId,
  }),
  workerId: (workerId) => ({
    sql: Prisma.sql`EXISTS (
      SELECT FROM workflow_runs latest_run WHERE latest_run.id = workflow_run_id AND latest_run.worker_id = ${workerId})`,
    matches: (_job, version) => version.workerId === workerId,
    stored: workerId,
  }),
  capabilityProfileId: (capabilityProfileId) => ({
    sql: Prisma.sql`capability_profile_id = ${capabilityProfileId}`,
    matches: (job) => job.capabilityProfileId === capabilityProfileId,
    stored: capabilityProfileId,
  }),
  idempotencyKey: (idempotencyKey) => ({
    sql: Prisma.sql`idempotency_key = ${idempotencyKey}`,
    matches: (job) => job.idempotencyKey === idempotencyKey,
    stored: idempotencyKey,
  }),
  rootJobId: (rootJobId) => ({
    sql: Prisma.sql`(root_job_id = ${rootJobId}::uuid OR job_id = ${rootJobId}::uuid AND root_job_id IS NULL)`,
    matches: (job) => (job.rootJobId ?? job.jobId) === rootJobId,
    stored: rootJobId,
  }),
  rootsOnly: (isOn) =>
    isOn
      ? {
          sql: Prisma.sql`parent_job_id IS NULL`,
          matches: (job) => job.parentJobId === null,
          stored: true,
        }
      : undefined,
  updatedAfter: (moment) => ({
    sql: Prisma.sql`updated_at > ${moment}`,
    matches: (_job, { updatedAt }) => updatedAt > moment,
    stored: moment.toISOString(),
  }),
  updatedBefore: (moment) => ({
    sql: Prisma.sql`updated_at < ${moment}`,
    matches: (_job, { updatedAt }) => updatedAt < moment,
    stored: moment.toISOString(),
  }),
  labels: (labels) => ({
    sql: labels.length === 0 ? Prisma.sql`false` : hasLabels(labels),
    matches: (job) => labels.length > 0 && labels.every((wanted) => job.labels?.some((label) => isSame(label, wanted))),
    stored: labels.map(({ key, value }) => ({ key, value })),
    isEmpty: labels.length === 0,
  }),
  submittedBy: (submittedBy) => ({
    sql: Prisma.sql`submitted_by = ${submittedBy}`,
    matches: (job) => job.submittedBy === submittedBy,
    stored: submittedBy,
  }),
};

function enumCondition(column: EnumCondition["column"], codes: readonly number[], values: readonly string[]) {
  const stored = values.map((value) => toDbEnum(value));
  return { sql: { column, codes: [...new Set(codes)] }, stored, isEmpty: stored.length === 0 };
}

const FIELDS = Object.keys(CONDITIONS).filter(isField);

function isField(name: string): name is keyof JobFilter {
  return Object.hasOwn(CONDITIONS, name);
}

/** @returns the conditions that a filter gives; none for a filter that matches every job. */
export function conditionsOf(filter: JobFilter): readonly JobCondition[] {
  return FIELDS.flatMap((field) => conditionOf(filter, field) ?? []);
}

function conditionOf<Field extends keyof JobFilter>(filter: JobFilter, field: Field): JobCondition | undefined {
  const value = filter[field];
  return value == null ? undefined : CONDITIONS[field](value);
}

/**
 * @returns the filter as a predicate on a job and one of its versions. The version is a separate argument, because a
 *   subscription also asks whether a job matched before a change. Whatever does not depend on the job is computed here, once
 *   for each subscriber and not for each event.
 */
export function matcherOf(filter: JobFilter): (job: ImmutableJob, version: JobAtVersion) => boolean {
  const conditions = conditionsOf(filter);
  return (job, version) => conditions.every(({ matches }) => matches(job, version));
}

/** @returns the filter as a bulk action stores it: column names, enum values as in the database, only the given conditions. */
export function toStoredFilter(filter: JobFilter): Readonly<Record<string, JsonValue>> {
  return Object.fromEntries(
    FIELDS.flatMap((field) => {
      const condition = conditionOf(filter, field);
      return condition ? [[snakeCase(field), condition.stored] as const] : [];
    }),
  );
}
