import { Prisma } from "../db/generated/client/client.ts";
import type { JobField } from "../db/job-columns.ts";
import { forEachMetric } from "../db/metrics.ts";
import { isEnumField, snakeCase } from "../db/rows.ts";

/**
 * Where each column of an event comes from, for the statement that writes the further versions of jobs (jobs/store.ts). The
 * first event of a job is inserted by jobs/insert.ts.
 */

type EventField = Prisma.FlightRecorderEventScalarFieldEnum;

/**
 * An event column is either copied from a column of the job's row after the change (`ofJob`), or it is the event's own,
 * with this SQL type (`type`).
 */
type EventColumn = { readonly ofJob: JobField } | { readonly type: string };

/** `satisfies` makes a column of the Prisma model that is missing here a compile error. */
const COLUMN_SOURCES = {
  eventId: { type: "uuid" },
  jobId: { ofJob: "jobId" },
  version: { ofJob: "version" },
  orderXid: { ofJob: "orderXid" },
  workspaceId: { ofJob: "workspaceId" },
  traceId: { ofJob: "traceId" },
  /** The run that the event is about, which may not be the job's latest one. */
  workflowRunId: { type: "uuid" },
  type: { type: '"RecorderEventType"' },
  actor: { type: '"RecorderActor"' },
  actorId: { type: "text" },
  principalId: { type: "text" },
  state: { ofJob: "state" },
  previousState: { type: '"JobState"' },
  ...forEachMetric((name) => ({ ofJob: name })),
  capabilityId: { type: "text" },
  payload: { type: "jsonb" },
  recordedAt: { ofJob: "updatedAt" },
  prevHash: { type: "text" },
  hash: { ofJob: "chainHash" },
} as const satisfies Record<EventField, EventColumn>;

/** A column that is not copied from the job's row. */
export type OwnEventField = {
  [Field in EventField]: (typeof COLUMN_SOURCES)[Field] extends { type: string } ? Field : never;
}[EventField];

const EVENT_FIELDS: readonly EventField[] = Object.values(Prisma.FlightRecorderEventScalarFieldEnum);

function columnOf(field: EventField): EventColumn {
  return COLUMN_SOURCES[field];
}

function isOwnField(field: EventField): field is OwnEventField {
  return "type" in columnOf(field);
}

/** The prefix keeps the event's own columns apart from the job's in one row: both tables have a `workflow_run_id`. */
function ownColumnName(field: OwnEventField): string {
  return `event_${snakeCase(field)}`;
}

/** The event's own columns, with the names that they have in a row beside the job's columns. */
export const OWN_EVENT_COLUMNS = EVENT_FIELDS.filter(isOwnField).map((field) => ({
  field,
  column: ownColumnName(field),
  isEnum: isEnumField(field),
}));

/** The same columns as declarations for `json_to_recordset`, such as `event_type "RecorderEventType"`. */
export const OWN_EVENT_DECLARATIONS: readonly string[] = OWN_EVENT_COLUMNS.map(
  ({ field, column }) => `${column} ${COLUMN_SOURCES[field].type}`,
);

/**
 * How an event is inserted from a row that has the job's columns and the event's own columns side by side: each `column`
 * of the event gets the value of the row's column `from`.
 */
export const EVENT_INSERT_COLUMNS: readonly { readonly column: string; readonly from: string }[] = EVENT_FIELDS.map(
  (field) => {
    const column = columnOf(field);
    return {
      column: snakeCase(field),
      from: isOwnField(field) ? ownColumnName(field) : snakeCase("ofJob" in column ? column.ofJob : field),
    };
  },
);
