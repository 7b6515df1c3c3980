import type { AiJob, FlightRecorderEvent } from "../db/generated/client/client.ts";
import {
  CHANGEABLE_DOCUMENTS,
  type ChangeableField,
  METRIC_NAMES,
  type MetricName,
  VERSION_FIELDS,
} from "../db/job-columns.ts";
import { isEnumField, snakeCase, toDbValue } from "../db/rows.ts";
import { OWN_EVENT_COLUMNS } from "../log/columns.ts";
import { type EventDraft, eventOf } from "../log/event.ts";
import { hashEvent } from "../log/hash.ts";
import type { LockedJob, LockedJobSummary } from "./lock.ts";

/** Computes the next version of a job and its row for the statement of store.ts. Pure functions: no I/O. */

/** The columns that a change may set. All others keep the values of the submit for ever, or are set with every version. */
export type JobPatch = Partial<Pick<AiJob, MetricName | ChangeableField>>;

/** A change of a job: the columns that it sets, and what its event says. */
export interface JobChange<Job extends LockedJobSummary = LockedJob> {
  readonly job: Job;
  readonly set: JobPatch;
  readonly event: EventDraft;
}

/** A version that is to be written: the job after the change, and the complete event with its hash. */
export interface NextVersion<Job extends LockedJobSummary = LockedJob> {
  readonly change: JobChange<Job>;
  readonly job: Job;
  readonly event: FlightRecorderEvent;
}

/** The database's clock may step back (NTP, failover). The times of a job's versions must not. */
export function timeOfNextVersion({ now, updatedAt }: Pick<LockedJobSummary, "now" | "updatedAt">): Date {
  return now < updatedAt ? updatedAt : now;
}

/** @returns the version that results from a change of a locked job. */
export function nextVersion<Job extends LockedJobSummary>(change: JobChange<Job>): NextVersion<Job> {
  const { job, set, event: draft } = change;
  const updatedAt = timeOfNextVersion(job);
  const after = { ...job, ...set, version: job.version + 1, orderXid: job.nextOrderXid, updatedAt };
  const event = eventOf(after, job, draft, { orderXid: after.orderXid, recordedAt: updatedAt }, progressPayload(set));
  event.hash = hashEvent(event);
  after.chainHash = event.hash;
  return { change, job: after, event };
}

/**
 * @returns what the event of a version that brings progress says of it; undefined for any other. It is said here and nowhere else, so that
 *   no version which sets progress can leave it out.
 */
function progressPayload({ progressAt, progressFraction, progressMessage }: JobPatch) {
  if (!progressAt) return undefined;
  return { progress: { fraction: progressFraction ?? null, message: progressMessage ?? null } };
}

/**
 * @returns the name of the column that says that a document does not change. It is needed because NULL in the document's own
 *   column means that the document is deleted.
 */
export function keepsColumn(document: ChangeableField): string {
  return `keeps_${snakeCase(document)}`;
}

const VERSION_CELLS = VERSION_FIELDS.map((field) => ({ field, column: snakeCase(field), isEnum: isEnumField(field) }));
const METRIC_CELLS = METRIC_NAMES.map((field) => ({ field, column: snakeCase(field) }));
const DOCUMENT_CELLS = CHANGEABLE_DOCUMENTS.map((field) => ({
  field,
  column: snakeCase(field),
  keeps: keepsColumn(field),
}));

/** A row without values. Copying and filling it takes half the time of adding the columns to an empty object one by one. */
const EMPTY_ROW: Readonly<Record<string, unknown>> = Object.fromEntries(
  [
    "job_id",
    ...[...VERSION_CELLS, ...METRIC_CELLS, ...DOCUMENT_CELLS, ...OWN_EVENT_COLUMNS].map(({ column }) => column),
    ...DOCUMENT_CELLS.map(({ keeps }) => keeps),
  ].map((column) => [column, undefined]),
);

/**
 * @returns a version as a row for the statement of store.ts, by column name: the job's columns that a change can set (metrics
 *   only where they changed), and the event's columns that are not in the job's row. NULL values are left out, because
 *   `json_to_recordset` reads a missing column as NULL.
 */
export function toVersionRow({
  change: { job: before, set },
  job,
  event,
}: NextVersion<LockedJobSummary>): Readonly<Record<string, unknown>> {
  const row: Record<string, unknown> = { ...EMPTY_ROW };
  row.job_id = job.jobId;
  for (const { field, column, isEnum } of VERSION_CELLS) {
    const value = job[field];
    if (value !== null) row[column] = toDbValue(value, isEnum);
  }
  for (const { field, column } of METRIC_CELLS) {
    if (job[field] !== before[field]) row[column] = job[field].toString();
  }
  for (const { field, column, keeps } of DOCUMENT_CELLS) {
    const document = set[field];
    if (document === undefined) row[keeps] = true;
    else if (document !== null) row[column] = document;
  }
  for (const { field, column, isEnum } of OWN_EVENT_COLUMNS) {
    const value = event[field];
    if (value !== null) row[column] = toDbValue(value, isEnum);
  }
  return row;
}
