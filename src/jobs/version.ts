import type { AiJob, FlightRecorderEvent } from "../db/generated/client/client.ts";
import {
  CHANGEABLE_DOCUMENTS,
  type ChangeableField,
  METRIC_NAMES,
  type MetricName,
  VERSION_FIELDS,
} from "../db/job-columns.ts";
import { isEnumField, snakeCase, toColumn } from "../db/rows.ts";
import { OWN_EVENT_COLUMNS } from "../log/columns.ts";
import { type EventDraft, eventOf } from "../log/event.ts";
import { hashEvent } from "../log/hash.ts";
import type { LockedJob, LockedJobSummary } from "./lock.ts";

/** The next version of a job: what it is made of, and how it is handed to the database. Decides; reads and writes nothing. */

/** What a change may set. Everything else of a job is as it was submitted, for good. */
export type JobPatch = Partial<Pick<AiJob, MetricName | ChangeableField>>;

/** One version of one job: what it sets, and the event that tells of it. */
export interface JobChange<Job extends LockedJobSummary = LockedJob> {
  readonly job: Job;
  readonly set: JobPatch;
  readonly event: EventDraft;
}

/** A version that is to be written: the job as the change means it to be, and the event that tells of it, hashed. */
export interface NextVersion<Job extends LockedJobSummary = LockedJob> {
  readonly change: JobChange<Job>;
  readonly job: Job;
  readonly event: FlightRecorderEvent;
}

/** @returns the version that the change makes of the job as it is locked. */
export function nextVersion<Job extends LockedJobSummary>(change: JobChange<Job>): NextVersion<Job> {
  const { job, set, event: draft } = change;
  // The clock of a server can step back; a job's history does not.
  const updatedAt = job.now < job.updatedAt ? job.updatedAt : job.now;
  const after = { ...job, ...set, version: job.version + 1, orderXid: job.nextOrderXid, updatedAt };
  const event = eventOf(after, job, draft, { orderXid: after.orderXid, recordedAt: updatedAt });
  event.hash = hashEvent(event);
  after.chainHash = event.hash;
  return { change, job: after, event };
}

/** The column that says that a document stays as it is: NULL in the document's own column would delete it. */
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

/** A row without values. A copy of it that is filled takes half as long as an object to which columns are added. */
const EMPTY_ROW: Readonly<Record<string, unknown>> = Object.fromEntries(
  [
    "job_id",
    ...[...VERSION_CELLS, ...METRIC_CELLS, ...DOCUMENT_CELLS, ...OWN_EVENT_COLUMNS].map(({ column }) => column),
    ...DOCUMENT_CELLS.map(({ keeps }) => keeps),
  ].map((column) => [column, undefined]),
);

/**
 * What the statement needs of one version, by the names of its columns: of the job what a change can set, metrics only
 * where they changed, and of the event what the job's row does not say. What is NULL is left out, since it is what
 * `json_to_recordset` makes of a column that is not there.
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
    if (value !== null) row[column] = toColumn(value, isEnum);
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
    if (value !== null) row[column] = toColumn(value, isEnum);
  }
  return row;
}
