import { type AiJob, type FlightRecorderEvent, Prisma } from "../db/generated/client/client.ts";
import { CHANGEABLE_DOCUMENTS, declarationOf, JOB_COLUMNS, METRIC_NAMES, VERSION_FIELDS } from "../db/job-columns.ts";
import { estimateFewRows, PREPARE_MARKER } from "../db/prepared.ts";
import { EVENT_COLUMNS, recordset, snakeCase } from "../db/rows.ts";
import { afterCommit, type Transaction } from "../db/transaction.ts";
import { EVENT_INSERT_COLUMNS, OWN_EVENT_COLUMNS, OWN_EVENT_DECLARATIONS } from "../log/columns.ts";
import type { LockedJob, LockedJobSummary } from "./lock.ts";
import { type JobChange, keepsColumn, nextVersion, toVersionRow } from "./version.ts";

/**
 * The only code that changes jobs; the first version is inserted by insert.ts. Each change raises the job's version by exactly
 * one and writes exactly one event, in the same statement (section 4). The database refuses an event without its version at the
 * end of the statement, and a version without its event at the commit.
 */

/** A further write in the statement of `writeVersions`: a data-modifying CTE, `name AS (...)`. */
export type ExtraCte = Prisma.Sql;

/** A job as the database now has it, still locked, and the event of this version. */
export interface WrittenVersion<Job extends LockedJobSummary = LockedJob> {
  readonly job: Job;
  readonly event: FlightRecorderEvent;
}

/** The column declarations for `json_to_recordset(...) AS t(${DECLARATIONS})`, which reads rows of `toVersionRow`. */
const DECLARATIONS = joinSql([
  declarationOf("jobId"),
  ...[...VERSION_FIELDS, ...METRIC_NAMES, ...CHANGEABLE_DOCUMENTS].map(declarationOf),
  ...CHANGEABLE_DOCUMENTS.map((field) => `${keepsColumn(field)} boolean`),
  ...OWN_EVENT_DECLARATIONS,
]);

/** The SET clause: `ai_jobs j` from a version's row `n`. Metrics and documents that do not change are missing in `n`. */
const ASSIGNMENTS = joinSql([
  ...VERSION_FIELDS.map(snakeCase).map((name) => `${name} = n.${name}`),
  ...METRIC_NAMES.map(snakeCase).map((name) => `${name} = coalesce(n.${name}, j.${name})`),
  ...CHANGEABLE_DOCUMENTS.map((field) => {
    const name = snakeCase(field);
    return `${name} = CASE WHEN n.${keepsColumn(field)} THEN j.${name} ELSE n.${name} END`;
  }),
]);

/** The select list of the event's own columns, which the job's row does not have, from a version's row `n`. */
const OWN_EVENT_SELECT_LIST = joinSql(OWN_EVENT_COLUMNS.map(({ column }) => `n.${column}`));
const EVENT_INSERT = joinSql(EVENT_INSERT_COLUMNS.map(({ column }) => column));
const EVENT_VALUES = joinSql(EVENT_INSERT_COLUMNS.map(({ from }) => from));

/**
 * Whether a row is stored as it was sent, which RETURNING tells for each job: what a command answers is then what was sent. To
 * read the columns themselves back would tell the same, and make a claim of a hundred jobs 10 % slower. Documents are left out,
 * because comparing one costs as much as its size; so are metrics that do not change, because they are not sent.
 */
const IS_AS_SENT = Prisma.raw(
  [
    `(${VERSION_FIELDS.map((field) => `j.${snakeCase(field)}`).join(", ")}) IS NOT DISTINCT FROM
     (${VERSION_FIELDS.map((field) => `n.${snakeCase(field)}`).join(", ")})`,
    ...METRIC_NAMES.map(snakeCase).map((name) => `coalesce(j.${name} = n.${name}, true)`),
  ].join(" AND "),
);

interface ReturnedRow {
  readonly jobId: string;
  readonly isAsSent: boolean;
}

function joinSql(parts: readonly string[]): Prisma.Sql {
  return Prisma.raw(parts.join(", "));
}

/**
 * Writes one new version of each job, with its event, in one statement for all jobs. For two versions of a job, call it
 * again with the job that the first call returned.
 * @param changes at most one for each job. The transaction must have locked the jobs.
 * @param extraCtes further writes of the same statement. They save round trips during which the rows would stay locked.
 * @returns the versions in the order of `changes`.
 * @throws Error when a job was changed since it was read, or is stored otherwise than its event says. This is a defect of the
 *   server; the caller must let the transaction roll back.
 */
export async function writeVersions<Job extends LockedJobSummary>(
  tx: Transaction,
  changes: readonly JobChange<Job>[],
  extraCtes: readonly ExtraCte[] = [],
): Promise<readonly WrittenVersion<Job>[]> {
  if (changes.length === 0 && extraCtes.length === 0) return [];
  const nextVersions = changes.map((change) => nextVersion(change));
  const rows = nextVersions.map(toVersionRow);
  const versions = Prisma.sql`json_to_recordset(${recordset(rows)}) AS t(${DECLARATIONS})`;
  const written = await tx.$queryRaw<ReturnedRow[]>`
    ${PREPARE_MARKER} WITH ${extraCtes.length === 0 ? Prisma.empty : Prisma.sql`${Prisma.join(extraCtes)},`}
    changed AS (
      UPDATE ai_jobs j SET ${ASSIGNMENTS}
      FROM ${estimateFewRows(versions, rows.length)} AS n WHERE j.job_id = n.job_id AND j.version = n.version - 1
      RETURNING j.*, ${OWN_EVENT_SELECT_LIST}, ${IS_AS_SENT} AS is_as_sent
    ), recorded AS (
      INSERT INTO flight_recorder_events (${EVENT_INSERT}) SELECT ${EVENT_VALUES} FROM changed
    )
    SELECT job_id AS "jobId", is_as_sent AS "isAsSent" FROM changed`;
  if (written.length !== changes.length)
    throw new Error("A job was changed by another transaction since it was read: it was not locked.");
  const altered = written.find(({ isAsSent }) => !isAsSent);
  if (altered) throw new Error(`Job ${altered.jobId} is stored otherwise than its event says.`);
  const parents = nextVersions.flatMap(({ job, change }) => parentToWake(change.job, job) ?? []);
  if (parents.length > 0) afterCommit(tx, ({ childrenEnded }) => childrenEnded?.(parents));
  afterCommit(tx, ({ observer }) => {
    if (!observer) return;
    for (const { change, job, event } of nextVersions)
      observer.versionCommitted({ before: change.job, after: job, eventType: event.type });
  });
  return nextVersions.map(({ job, event }) => ({ job, event }));
}

/** @returns the job that may wait for no child any more, because this one has ended, or waits for its children from now on. */
function parentToWake(before: LockedJobSummary, after: LockedJobSummary): string | null {
  if (after.waitsFor === "CHILDREN") return after.jobId;
  return before.endedAt === null && after.endedAt !== null ? after.parentJobId : null;
}

/** The same for one job. @throws Error as `writeVersions` does. */
export async function writeVersion<Job extends LockedJobSummary>(
  tx: Transaction,
  change: JobChange<Job>,
  extraCtes: readonly ExtraCte[] = [],
): Promise<WrittenVersion<Job>> {
  const [written] = await writeVersions(tx, [change], extraCtes);
  if (!written) throw new Error("One change writes one version.");
  return written;
}

/** @returns the event of one version of a job; undefined where there is none. */
export async function readEvent(
  tx: Transaction,
  jobId: string,
  version: number,
): Promise<FlightRecorderEvent | undefined> {
  const [event] = await tx.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM flight_recorder_events WHERE job_id = ${jobId}::uuid AND version = ${version}`;
  return event;
}

/** Reads a job with its documents, without a lock. @returns undefined where there is none. */
export async function readJob(tx: Transaction, jobId: string): Promise<AiJob | undefined> {
  const [job] = await tx.$queryRaw<AiJob[]>`SELECT ${JOB_COLUMNS} FROM ai_jobs WHERE job_id = ${jobId}::uuid`;
  return job;
}
