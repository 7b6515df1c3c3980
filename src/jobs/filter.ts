import { Prisma } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { type JsonValue, snakeCase, toDbEnum } from "../db/rows.ts";
import type { ImmutableJob } from "../log/read.ts";

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
}

/** One condition of a filter with its value, in every form in which the server needs it. */
export interface JobCondition {
  /** A condition on the columns of `ai_jobs`, by their names without a table. */
  readonly sql: Prisma.Sql | EnumCondition;
  /** The same condition for a job in memory. Apart from the state, it uses only values that never change. */
  readonly matches: (job: ImmutableJob, state: JobState) => boolean;
  /** The value as a bulk action stores it, with enum values as in the database. */
  readonly stored: JsonValue;
  /** True for an empty list, which no job can match. */
  readonly isEmpty?: boolean;
}

/**
 * A condition on one of the enum columns that come right after the workspace in the index for lists. It is not SQL, because `selectJobs` scans that
 * index once for each value.
 */
export interface EnumCondition {
  readonly column: "state" | "job_kind";
  /** The values as in the database, each once: a repeated value would return its jobs twice. */
  readonly dbValues: readonly string[];
}

type JobConditions = { readonly [Field in keyof Required<JobFilter>]: JobConditionOf<NonNullable<JobFilter[Field]>> };
type JobConditionOf<Value> = (value: Value) => JobCondition;

/**
 * Defines what each field of a filter means, for lists, counts, subscriptions and bulk actions alike. A field without an entry
 * is a compile error: a statement that ignored it would match every job, and a bulk action would change jobs that nobody
 * selected.
 */
const CONDITIONS: JobConditions = {
  states: (states) => ({
    ...enumCondition("state", states),
    matches: (_job, state) => states.includes(state),
  }),
  kinds: (kinds) => ({
    ...enumCondition("job_kind", kinds),
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
    matches: ({ createdAt }) => createdAt > moment,
    stored: moment.toISOString(),
  }),
  createdBefore: (moment) => ({
    sql: Prisma.sql`created_at < ${moment}`,
    matches: ({ createdAt }) => createdAt < moment,
    stored: moment.toISOString(),
  }),
};

function enumCondition(column: EnumCondition["column"], values: readonly string[]) {
  const stored = values.map((value) => toDbEnum(value));
  return { sql: { column, dbValues: [...new Set(stored)] }, stored, isEmpty: stored.length === 0 };
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
 * @returns the filter as a predicate on a job and a state. The state is a separate argument, because a subscription also asks
 *   whether a job matched in its state before a change. Whatever does not depend on the job is computed here, once for each
 *   subscriber and not for each event.
 */
export function matcherOf(filter: JobFilter): (job: ImmutableJob, state: JobState) => boolean {
  const conditions = conditionsOf(filter);
  return (job, state) => conditions.every(({ matches }) => matches(job, state));
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
