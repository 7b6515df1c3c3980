import { type AiJob, Prisma, type WorkerReport } from "./generated/client/client.ts";

/**
 * How rows read by hand-written SQL come to look like Prisma's own: the select list renames each column, and gives
 * enum values by the names that TypeScript and GraphQL use. test/storage proves it against Prisma, column by column.
 */

/** Names of columns by the names of their fields. */
const SNAKE_CASE = new Map<string, string>();

/** The nine metrics of a job, in the order of the spec [HSK-JOB-101]. */
export const METRIC_NAMES = [
  "durationMs",
  "totalTokens",
  "inputTokens",
  "outputTokens",
  "tokensPlanner",
  "tokensExecutor",
  "entitiesRead",
  "entitiesWritten",
  "validatorsRunCount",
] as const;

/** What every client, JavaScript included, reads exactly: the most that a metric can be, or that GraphQL's SafeInt says. */
export const MAX_SAFE_METRIC = BigInt(Number.MAX_SAFE_INTEGER);

export type MetricName = (typeof METRIC_NAMES)[number];
export type JobMetrics = Readonly<Record<MetricName, bigint>>;

/** The nine metrics out of a row that has them among other columns. */
export function metricsOf(row: JobMetrics): JobMetrics {
  return {
    durationMs: row.durationMs,
    totalTokens: row.totalTokens,
    inputTokens: row.inputTokens,
    outputTokens: row.outputTokens,
    tokensPlanner: row.tokensPlanner,
    tokensExecutor: row.tokensExecutor,
    entitiesRead: row.entitiesRead,
    entitiesWritten: row.entitiesWritten,
    validatorsRunCount: row.validatorsRunCount,
  };
}

/** Columns of a native enum, by the table they stand in. */
const ENUM_FIELDS: ReadonlySet<string> = new Set([
  "jobKind",
  "state",
  "previousState",
  "accessMode",
  "safetyMode",
  "modelTier",
  "type",
  "actor",
  "resource",
]);

/** A column of a job, by its name here. */
export type JobField = Prisma.AiJobScalarFieldEnum;

export const JOB_FIELDS = Object.values(Prisma.AiJobScalarFieldEnum);
export const JOB_COLUMNS = selectList(JOB_FIELDS);
export const RUN_COLUMNS = selectList(Object.values(Prisma.WorkflowRunScalarFieldEnum));
const NODE_FIELDS = Object.values(Prisma.NodeExecutionScalarFieldEnum);
export const NODE_COLUMNS = selectList(NODE_FIELDS);
/** A node without its payloads, each of which may be 256 KiB. */
export const NODE_COLUMNS_WITHOUT_PAYLOADS = selectList(
  NODE_FIELDS.filter((field) => field !== "inputPayload" && field !== "outputPayload"),
);
/** A report without its workspace: it is read beside its run, whose row has a column of the same name. */
export type KeptReport = Omit<WorkerReport, "workspaceId">;
export const REPORT_COLUMNS = selectList(
  Object.values(Prisma.WorkerReportScalarFieldEnum).filter((field) => field !== "workspaceId"),
);
export const EVENT_COLUMNS = selectList(Object.values(Prisma.FlightRecorderEventScalarFieldEnum));
export const QUOTA_COLUMNS = selectList(Object.values(Prisma.QuotaScalarFieldEnum));

export function isJobField(name: string): name is JobField {
  return Object.hasOwn(Prisma.AiJobScalarFieldEnum, name);
}

/** Some columns of a job: a document may be megabytes, and in a list each column costs time again with every row. */
export function jobColumns(fields: readonly JobField[]): Prisma.Sql {
  return selectList(fields);
}

/** What may be megabytes of one job. */
const DOCUMENT_FIELDS = ["jobInputs", "jobOutputs", "entityRefs", "plannedOperations"] as const;

export type DocumentField = (typeof DOCUMENT_FIELDS)[number];

/** A job that may have been read without its documents. */
export type JobSummary = Omit<AiJob, DocumentField>;

export function isDocumentField(field: string): field is DocumentField {
  return DOCUMENT_FIELDS.some((document) => document === field);
}

/** A job without its documents: what fits into memory however many jobs are read. */
export const JOB_SUMMARY_COLUMNS = selectList(JOB_FIELDS.filter((field) => !isDocumentField(field)));

function selectList(fields: readonly string[]): Prisma.Sql {
  const columns = fields.map((field) => {
    const column = `"${snakeCase(field)}"`;
    return `${ENUM_FIELDS.has(field) ? `upper(${column}::text)` : column} AS "${field}"`;
  });
  return Prisma.raw(columns.join(", "));
}

/** A JSON value as Prisma has it. */
export type JsonValue = Prisma.JsonValue;

/** A field's name in the database. Remembered: a batch asks for the same names with every row. */
export function snakeCase(field: string): string {
  const known = SNAKE_CASE.get(field);
  if (known !== undefined) return known;
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // Bounded: what is asked for are names of columns, and nothing that a client chooses.
  SNAKE_CASE.set(field, name);
  return name;
}

/** An enum's value as the database stores it and as payloads show it. */
export type DbEnum<Name extends string> = Lowercase<Name>;

export function toDbEnum<Name extends string>(name: Name): DbEnum<Name>;
export function toDbEnum(name: string): string {
  return name.toLowerCase();
}

/**
 * A row as JSON that `json_to_recordset` reads back column by column: names and enum values as the database has
 * them, 64-bit numbers as text, times in UTC, bytes as PostgreSQL's hex. What is NULL is left out.
 */
export function toRecord(row: object): Readonly<Record<string, unknown>> {
  const record: Record<string, unknown> = {};
  const entries: [string, unknown][] = Object.entries(row);
  for (const [field, value] of entries) {
    if (value !== null && value !== undefined) record[snakeCase(field)] = toColumn(field, value);
  }
  return record;
}

/** Rows as a parameter that `json_to_recordset` and its kin read back. */
export function toRecordset(rows: readonly object[]): Prisma.Sql {
  return recordset(rows.map(toRecord));
}

/** The same for rows that are by the names and with the words of the database already. */
export function recordset(records: readonly object[]): Prisma.Sql {
  return Prisma.sql`${JSON.stringify(records)}::json`;
}

function toColumn(field: string, value: unknown): unknown {
  if (typeof value === "string") return ENUM_FIELDS.has(field) ? toDbEnum(value) : value;
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return value;
}
