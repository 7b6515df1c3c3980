import { type AiJob, Prisma } from "./generated/client/client.ts";
import { selectList, snakeCase } from "./rows.ts";

/** The one description of a job's columns: which of them are inserted, changed, read and hashed follows from this file. */

/** A column of a job, by its name in TypeScript. */
export type JobField = Prisma.AiJobScalarFieldEnum;

interface JobColumn {
  /** The type in the database; that of an enum in quotes. test/db/job-columns.store.test.ts compares it with the catalog. */
  readonly type: "uuid" | "text" | "text[]" | "int4" | "int8" | "float8" | "timestamptz" | "jsonb" | `"${string}"`;
  /**
   * What writes the column:
   * - `submit`: only the insert; the value never changes.
   * - `change`: the insert and any change that sets it (`JobPatch`).
   * - `metric`: the insert and any change that raises it. The job's events and their hashes contain it as well.
   * - `version`: the server, with every version; no caller can set it.
   */
  readonly writtenBy: "submit" | "change" | "metric" | "version";
  /** The value may be megabytes, so the column is read only where it is needed. */
  readonly document?: true;
}

/**
 * A new column needs a line here, one in prisma/schema.prisma and one in a migration; a new metric also needs a column in
 * `FlightRecorderEvent` and in the totals. A column of the Prisma model that is missing here is a compile error.
 */
const COLUMN_DESCRIPTIONS = {
  jobId: { type: "uuid", writtenBy: "submit" },
  workspaceId: { type: "uuid", writtenBy: "submit" },
  traceId: { type: "uuid", writtenBy: "submit" },
  workflowRunId: { type: "uuid", writtenBy: "change" },
  parentJobId: { type: "uuid", writtenBy: "submit" },
  rootJobId: { type: "uuid", writtenBy: "submit" },
  jobKind: { type: '"JobKind"', writtenBy: "submit" },
  state: { type: '"JobState"', writtenBy: "change" },
  statusReason: { type: "text", writtenBy: "change" },
  errorMessage: { type: "text", writtenBy: "change" },
  protocolId: { type: "text", writtenBy: "submit" },
  profileId: { type: "text", writtenBy: "submit" },
  capabilityProfileId: { type: "text", writtenBy: "submit" },
  accessMode: { type: '"AccessMode"', writtenBy: "submit" },
  safetyMode: { type: '"SafetyMode"', writtenBy: "submit" },
  modelTier: { type: '"ModelTier"', writtenBy: "submit" },
  entityRefs: { type: "jsonb", writtenBy: "submit", document: true },
  plannedOperations: { type: "jsonb", writtenBy: "submit", document: true },
  jobInputs: { type: "jsonb", writtenBy: "submit", document: true },
  jobOutputs: { type: "jsonb", writtenBy: "change", document: true },
  issues: { type: "text[]", writtenBy: "change" },
  priority: { type: "int4", writtenBy: "submit" },
  runAfter: { type: "timestamptz", writtenBy: "change" },
  attempt: { type: "int4", writtenBy: "change" },
  maxAttempts: { type: "int4", writtenBy: "submit" },
  unchargedAttempts: { type: "int4", writtenBy: "change" },
  releases: { type: "int4", writtenBy: "change" },
  waitsFor: { type: '"WaitsFor"', writtenBy: "change" },
  waitsUntil: { type: "timestamptz", writtenBy: "change" },
  progressFraction: { type: "float8", writtenBy: "change" },
  progressMessage: { type: "text", writtenBy: "change" },
  progressAt: { type: "timestamptz", writtenBy: "change" },
  preferredWorkerId: { type: "text", writtenBy: "change" },
  preferredUntil: { type: "timestamptz", writtenBy: "change" },
  tokenBudget: { type: "int8", writtenBy: "submit" },
  costBudgetMicros: { type: "int8", writtenBy: "submit" },
  idempotencyKey: { type: "text", writtenBy: "submit" },
  submitHash: { type: "text", writtenBy: "submit" },
  submittedBy: { type: "text", writtenBy: "submit" },
  labelCount: { type: "int4", writtenBy: "submit" },
  version: { type: "int4", writtenBy: "version" },
  orderXid: { type: "int8", writtenBy: "version" },
  chainHash: { type: "text", writtenBy: "version" },
  durationMs: { type: "int8", writtenBy: "metric" },
  totalTokens: { type: "int8", writtenBy: "metric" },
  inputTokens: { type: "int8", writtenBy: "metric" },
  outputTokens: { type: "int8", writtenBy: "metric" },
  tokensPlanner: { type: "int8", writtenBy: "metric" },
  tokensExecutor: { type: "int8", writtenBy: "metric" },
  entitiesRead: { type: "int8", writtenBy: "metric" },
  entitiesWritten: { type: "int8", writtenBy: "metric" },
  validatorsRunCount: { type: "int8", writtenBy: "metric" },
  costMicros: { type: "int8", writtenBy: "change" },
  createdAt: { type: "timestamptz", writtenBy: "submit" },
  updatedAt: { type: "timestamptz", writtenBy: "version" },
  completedAt: { type: "timestamptz", writtenBy: "change" },
  endedAt: { type: "timestamptz", writtenBy: "change" },
} as const satisfies Record<JobField, JobColumn>;

/** The columns whose description has this part, such as `{ writtenBy: "metric" }`. */
type FieldsWith<Part extends Partial<JobColumn>> = {
  [Field in JobField]: (typeof COLUMN_DESCRIPTIONS)[Field] extends Part ? Field : never;
}[JobField];

/** A column whose value may be megabytes (a "document"). */
export type DocumentField = FieldsWith<{ document: true }>;
/** One of the nine metrics. */
export type MetricName = FieldsWith<{ writtenBy: "metric" }>;
/** A column that a change may set, documents included. */
export type ChangeableField = FieldsWith<{ writtenBy: "change" }>;
/** A column that a new version of a job writes, apart from metrics and documents. */
export type VersionField = Exclude<ChangeableField, DocumentField> | FieldsWith<{ writtenBy: "version" }>;

/** A job without its documents. */
export type JobSummary = Omit<AiJob, DocumentField>;

/** Whether a name is that of a job's field. */
export function isJobField(name: string): name is JobField {
  return Object.hasOwn(Prisma.AiJobScalarFieldEnum, name);
}

function columnOf(field: JobField): JobColumn {
  return COLUMN_DESCRIPTIONS[field];
}

/** Whether a field of a job is a document. */
export function isDocumentField(field: string): field is DocumentField {
  return isJobField(field) && columnOf(field).document === true;
}

function isMetric(field: JobField): field is MetricName {
  return columnOf(field).writtenBy === "metric";
}

function isChangeableDocument(field: JobField): field is DocumentField & ChangeableField {
  return isDocumentField(field) && columnOf(field).writtenBy === "change";
}

function isVersionField(field: JobField): field is VersionField {
  const { writtenBy } = columnOf(field);
  return writtenBy === "version" || (writtenBy === "change" && !isDocumentField(field));
}

/** All fields of a job, in the order of the Prisma schema. */
export const JOB_FIELDS: readonly JobField[] = Object.values(Prisma.AiJobScalarFieldEnum);
/** The nine metrics of a job, in the order of the model document [HSK-JOB-101]. */
export const METRIC_NAMES: readonly MetricName[] = JOB_FIELDS.filter(isMetric);
/** The fields that each new version writes, apart from metrics and documents. */
export const VERSION_FIELDS: readonly VersionField[] = JOB_FIELDS.filter(isVersionField);
/** The documents that a change may set. */
export const CHANGEABLE_DOCUMENTS: readonly (DocumentField & ChangeableField)[] =
  JOB_FIELDS.filter(isChangeableDocument);

/** Select lists: all columns of a job, and all except the documents, which would not fit into memory for many jobs. */
export const JOB_COLUMNS = selectList(JOB_FIELDS);
export const JOB_SUMMARY_COLUMNS = selectList(JOB_FIELDS.filter((field) => !isDocumentField(field)));

/** The same where the row has other columns, too: the names of the job's begin with this. */
export const JOB_PREFIX = "job.";
export const PREFIXED_JOB_SUMMARY_COLUMNS = selectList(
  JOB_FIELDS.filter((field) => !isDocumentField(field)),
  JOB_PREFIX,
);

/** @returns a select list of these columns. A list of jobs reads only what it needs, as each column costs time in every row. */
export function jobColumns(fields: readonly JobField[]): Prisma.Sql {
  return selectList(fields);
}

/** @returns the columns that get their value from this writer. */
export function fieldsWrittenBy(writer: JobColumn["writtenBy"]): readonly JobField[] {
  return JOB_FIELDS.filter((field) => columnOf(field).writtenBy === writer);
}

/** @returns the declaration of a column for `json_to_recordset`, such as `status_reason text`. */
export function declarationOf(field: JobField): string {
  return `${snakeCase(field)} ${COLUMN_DESCRIPTIONS[field].type}`;
}
