import { type AiJob, type FlightRecorderEvent, Prisma } from "../db/generated/client/client.ts";
import {
  CHANGEABLE_DOCUMENTS,
  declarationOf,
  JOB_COLUMNS,
  METRIC_NAMES,
  type MetricName,
  VERSION_FIELDS,
  type VersionField,
} from "../db/job-columns.ts";
import { estimateFewRows, FORCED_GENERIC_PLAN } from "../db/prepared.ts";
import { EVENT_COLUMNS, recordset, selectList, snakeCase } from "../db/rows.ts";
import type { Transaction } from "../db/transaction.ts";
import { EVENT_OF_ROW, OWN_EVENT_COLUMNS, OWN_EVENT_DECLARATIONS } from "../log/columns.ts";
import type { LockedJob, LockedJobSummary } from "./lock.ts";
import { type JobChange, keepsColumn, type NextVersion, nextVersion, toVersionRow } from "./version.ts";

/**
 * The one place from which jobs and events are changed: every change of a job raises its version by exactly one and has
 * exactly one event, written by the same statement (section 4). The database refuses at commit what comes any other way.
 */

/** A write beside those of jobs and events: a data-modifying CTE, `name AS (...)`, for the statement of `writeVersions`. */
export type ExtraCte = Prisma.Sql;

/** A job as it stands in the database, still locked, and the event that tells of this version. */
export interface WrittenVersion<Job extends LockedJobSummary = LockedJob> {
  readonly job: Job;
  readonly event: FlightRecorderEvent;
}

/** A version as JSON, in columns: `json_to_recordset(...) AS t(${DECLARATIONS})`. */
const DECLARATIONS = joinSql([
  declarationOf("jobId"),
  ...[...VERSION_FIELDS, ...METRIC_NAMES, ...CHANGEABLE_DOCUMENTS].map(declarationOf),
  ...CHANGEABLE_DOCUMENTS.map((field) => `${keepsColumn(field)} boolean`),
  ...OWN_EVENT_DECLARATIONS,
]);

/** What is set in `ai_jobs j` by a version `n`. A metric that did not change is not there, nor is a document. */
const ASSIGNMENTS = joinSql([
  ...VERSION_FIELDS.map(snakeCase).map((name) => `${name} = n.${name}`),
  ...METRIC_NAMES.map(snakeCase).map((name) => `${name} = coalesce(n.${name}, j.${name})`),
  ...CHANGEABLE_DOCUMENTS.map((field) => {
    const name = snakeCase(field);
    return `${name} = CASE WHEN n.${keepsColumn(field)} THEN j.${name} ELSE n.${name} END`;
  }),
]);

/** Of a version, what only the event has. */
const OWN_OF_EVENT = joinSql(OWN_EVENT_COLUMNS.map(({ column }) => `n.${column}`));
const EVENT_INSERT = joinSql(EVENT_OF_ROW.map(({ column }) => column));
const EVENT_VALUES = joinSql(EVENT_OF_ROW.map(({ from }) => from));

/**
 * What is read back of a job: all that a change can set, but for documents. What was submitted stands in the caller's job
 * already and cannot have changed, since the database refuses a change of it. A document is what the caller has just sent,
 * or what it did not ask for: reading it back would cost as much as it is large. The columns here cost 8 microseconds of
 * this process for each version.
 */
const RETURNED = selectList(["jobId", ...VERSION_FIELDS, ...METRIC_NAMES]);

type ReturnedRow = Pick<AiJob, "jobId" | VersionField | MetricName>;

function joinSql(parts: readonly string[]): Prisma.Sql {
  return Prisma.raw(parts.join(", "));
}

/**
 * Writes one new version of each job, with its event, in one statement however many they are.
 * A job that needs two versions is passed again, as it came out of the first call.
 * @param extraCtes what is written by the same statement: each round trip saved is one that nobody else waits for.
 * @returns in the order of `changes`, each job as the database now has it, still locked.
 * @throws Error where a job was not as it was locked, or is not stored as its event tells: nothing may be kept then.
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
    ${FORCED_GENERIC_PLAN} WITH ${extraCtes.length === 0 ? Prisma.empty : Prisma.sql`${Prisma.join(extraCtes)},`}
    changed AS (
      UPDATE ai_jobs j SET ${ASSIGNMENTS}
      FROM ${estimateFewRows(versions, rows.length)} AS n WHERE j.job_id = n.job_id AND j.version = n.version - 1
      RETURNING j.*, ${OWN_OF_EVENT}
    ), recorded AS (
      INSERT INTO flight_recorder_events (${EVENT_INSERT}) SELECT ${EVENT_VALUES} FROM changed
    )
    SELECT ${RETURNED} FROM changed`;
  if (written.length !== changes.length) throw new Error("A job was changed without its lock: the version moved on.");
  return inOrder(nextVersions, written);
}

function inOrder<Job extends LockedJobSummary>(
  versions: readonly NextVersion<Job>[],
  rows: readonly ReturnedRow[],
): readonly WrittenVersion<Job>[] {
  const byId = new Map(rows.map((row) => [row.jobId, row]));
  return versions.map(({ job, event }) => {
    const row = byId.get(job.jobId);
    if (!row || !describesRow(event, row)) throw new Error(`Job ${job.jobId} is not stored as its event tells.`);
    return { job: { ...job, ...row }, event };
  });
}

/** Whether an event says what is stored. Its hash was made before: of anything else it would be wrong for good. */
function describesRow(event: FlightRecorderEvent, row: ReturnedRow): boolean {
  return (
    event.hash === row.chainHash &&
    event.version === row.version &&
    event.orderXid === row.orderXid &&
    event.state === row.state &&
    event.recordedAt.getTime() === row.updatedAt.getTime() &&
    METRIC_NAMES.every((name) => event[name] === row[name])
  );
}

/** Writes one new version of one job. */
export async function writeVersion<Job extends LockedJobSummary>(
  tx: Transaction,
  change: JobChange<Job>,
  extraCtes: readonly ExtraCte[] = [],
): Promise<WrittenVersion<Job>> {
  const [written] = await writeVersions(tx, [change], extraCtes);
  if (!written) throw new Error("One change writes one version.");
  return written;
}

/** The event of one version of a job; undefined where the log does not hold it. */
export async function readEvent(
  tx: Transaction,
  jobId: string,
  version: number,
): Promise<FlightRecorderEvent | undefined> {
  const [event] = await tx.$queryRaw<FlightRecorderEvent[]>`
    SELECT ${EVENT_COLUMNS} FROM flight_recorder_events WHERE job_id = ${jobId}::uuid AND version = ${version}`;
  return event;
}

/** A job as it is now, without a lock. */
export async function readJob(tx: Transaction, jobId: string): Promise<AiJob | undefined> {
  const [job] = await tx.$queryRaw<AiJob[]>`SELECT ${JOB_COLUMNS} FROM ai_jobs WHERE job_id = ${jobId}::uuid`;
  return job;
}
