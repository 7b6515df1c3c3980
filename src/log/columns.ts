import { Prisma } from "../db/generated/client/client.ts";
import type { JobField } from "../db/job-columns.ts";
import { forEachMetric } from "../db/metrics.ts";
import { isEnumField, snakeCase } from "../db/rows.ts";

/** The columns of an event, described once. */

type EventField = Prisma.FlightRecorderEventScalarFieldEnum;

/** Either the event has it from the job's row after the change, out of that column, or it is its own, of that type. */
type EventColumn = { readonly ofJob: JobField } | { readonly type: string };

/** A column of the Prisma model that is missing here does not compile. */
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
  state: { ofJob: "state" },
  previousState: { type: '"JobState"' },
  ...forEachMetric((name) => ({ ofJob: name })),
  capabilityId: { type: "text" },
  payload: { type: "jsonb" },
  recordedAt: { ofJob: "updatedAt" },
  prevHash: { type: "text" },
  hash: { ofJob: "chainHash" },
} as const satisfies Record<EventField, EventColumn>;

/** A column that the job's row does not say. */
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

/** Beside a job's row the event's own columns need names of their own: both have a `workflow_run_id`. */
function ownColumnName(field: OwnEventField): string {
  return `event_${snakeCase(field)}`;
}

/** The event's own columns, by the names that they have beside a job's row. */
export const OWN_EVENT_COLUMNS = EVENT_FIELDS.filter(isOwnField).map((field) => ({
  field,
  column: ownColumnName(field),
  isEnum: isEnumField(field),
}));

/** Those columns as a `json_to_recordset` declares them, such as `event_type "RecorderEventType"`. */
export const OWN_EVENT_DECLARATIONS: readonly string[] = OWN_EVENT_COLUMNS.map(
  ({ field, column }) => `${column} ${COLUMN_SOURCES[field].type}`,
);

/** What is inserted into the log for a job's row that has the event's own columns beside it. */
export const EVENT_OF_ROW: readonly { readonly column: string; readonly from: string }[] = EVENT_FIELDS.map((field) => {
  const column = columnOf(field);
  return {
    column: snakeCase(field),
    from: isOwnField(field) ? ownColumnName(field) : snakeCase("ofJob" in column ? column.ofJob : field),
  };
});
