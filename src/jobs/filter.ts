import { Prisma } from "../db/generated/client/client.ts";
import type { JobKind, JobState } from "../db/generated/client/enums.ts";
import { type JsonValue, snakeCase, toDbEnum } from "../db/rows.ts";
import type { JobOrigin } from "../log/read.ts";

/**
 * Which jobs: every condition that is given must hold. A field that is null or left out is no condition. A list asks
 * for any one of its values, so an empty list matches no job; repeated values change nothing.
 */
export interface JobFilter {
  readonly states?: readonly JobState[] | null | undefined;
  readonly kinds?: readonly JobKind[] | null | undefined;
  readonly protocolId?: string | null | undefined;
  readonly parentJobId?: string | null | undefined;
  /** Exclusive, as is `createdBefore`: a job created at this very millisecond does not match. */
  readonly createdAfter?: Date | null | undefined;
  readonly createdBefore?: Date | null | undefined;
}

/** One condition of a filter together with its value, in every form in which the server asks it. */
export interface JobCondition {
  /** On the columns of `ai_jobs`, by their bare names. */
  readonly sql: Prisma.Sql | EnumCondition;
  /** The same for a job in memory: `state` apart, all that it looks at never changes. */
  readonly matches: (job: JobOrigin, state: JobState) => boolean;
  /** How a bulk action keeps the value: with the words of the database. */
  readonly stored: JsonValue;
  /** Set for a list without values: no job can match it. */
  readonly isEmpty?: boolean;
}

/**
 * A condition on one of the columns that lead the index by which lists are read: apart from the others, because a
 * statement reads that index once for each value (see `selectJobs`).
 */
export interface EnumCondition {
  readonly column: "state" | "job_kind";
  /** In the words of the database, each once: a repeated one would find its jobs twice. */
  readonly dbValues: readonly string[];
}

type JobConditions = { readonly [Field in keyof Required<JobFilter>]: JobConditionOf<NonNullable<JobFilter[Field]>> };
type JobConditionOf<Value> = (value: Value) => JobCondition;

/**
 * What each field of a filter means: the only place that says so. Lists, counts, subscriptions and bulk actions all
 * work from this table. A field without an entry does not compile, because one that a statement overlooked would be a
 * condition that holds for every job, and a bulk action would change jobs that nobody named.
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

/** The conditions that a filter gives: none for a filter that matches every job. */
export function conditionsOf(filter: JobFilter): readonly JobCondition[] {
  return FIELDS.flatMap((field) => conditionOf(filter, field) ?? []);
}

function conditionOf<Field extends keyof JobFilter>(filter: JobFilter, field: Field): JobCondition | undefined {
  const value = filter[field];
  return value == null ? undefined : CONDITIONS[field](value);
}

/**
 * The filter as a predicate on a job in a state: the state is apart because a subscription asks for that before a
 * change, too. What does not depend on the job is worked out here, once for a subscriber and not for each event.
 */
export function matcherOf(filter: JobFilter): (job: JobOrigin, state: JobState) => boolean {
  const conditions = conditionsOf(filter);
  return (job, state) => conditions.every(({ matches }) => matches(job, state));
}

/** The filter as a bulk action keeps it: names and words of the database, and only the conditions that are given. */
export function toStoredFilter(filter: JobFilter): Readonly<Record<string, JsonValue>> {
  return Object.fromEntries(
    FIELDS.flatMap((field) => {
      const condition = conditionOf(filter, field);
      return condition ? [[snakeCase(field), condition.stored] as const] : [];
    }),
  );
}
