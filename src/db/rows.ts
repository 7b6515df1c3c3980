import {
  type AiJob,
  type FlightRecorderEvent,
  type NodeExecution,
  Prisma,
  type Quota,
  type WorkerReport,
  type WorkflowRun,
} from "./generated/client/client.ts";

/**
 * Converts rows between hand-written SQL and Prisma's form. Select lists rename each column to its field's name and return
 * enum values in upper case, as TypeScript and GraphQL use them; `toRecord` does the opposite for rows that are written.
 * test/db/rows.store.test.ts compares the result with Prisma's own, column by column.
 */

/** Cache of column names by field name. */
const COLUMN_NAMES = new Map<string, string>();

/** The fields of a model whose column is a native enum. */
type EnumField<Model> = Model extends unknown
  ? {
      [Field in keyof Model]: NonNullable<Model[Field]> extends string
        ? string extends NonNullable<Model[Field]>
          ? never
          : Field
        : never;
    }[keyof Model]
  : never;

/** The fields of all these models whose column is a native enum. A missing field is a compile error. */
const ENUM_FIELDS = {
  jobKind: true,
  state: true,
  previousState: true,
  accessMode: true,
  safetyMode: true,
  waitsFor: true,
  modelTier: true,
  type: true,
  actor: true,
  resource: true,
} as const satisfies Record<
  EnumField<AiJob | WorkflowRun | NodeExecution | FlightRecorderEvent | WorkerReport | Quota>,
  true
>;

/** Whether the field of this name is a native enum. A name means the same in every table. */
export function isEnumField(field: string): boolean {
  return Object.hasOwn(ENUM_FIELDS, field);
}

/** A run without its outputs, which may be megabytes: they are read where they are asked for. */
export type Run = Omit<WorkflowRun, "outputs">;
/** Select lists of rows, in Prisma's form. */
export const RUN_COLUMNS = selectList(
  Object.values(Prisma.WorkflowRunScalarFieldEnum).filter((field) => field !== "outputs"),
);
export const NODE_FIELDS = Object.values(Prisma.NodeExecutionScalarFieldEnum);
export const NODE_COLUMNS = selectList(NODE_FIELDS);
/**
 * A stored report without its workspace: it is read in one row with its run, which has a column of the same name. Nor does it say
 * whether it is of usage alone, which its hash tells from every other report.
 */
export type StoredReport = Omit<WorkerReport, "workspaceId" | "isUsage">;
export const REPORT_COLUMNS = selectList(
  Object.values(Prisma.WorkerReportScalarFieldEnum).filter((field) => field !== "workspaceId" && field !== "isUsage"),
);
export const EVENT_COLUMNS = selectList(Object.values(Prisma.FlightRecorderEventScalarFieldEnum));
export const QUESTION_COLUMNS = selectList(Object.values(Prisma.UserInputRequestScalarFieldEnum));
export const QUOTA_COLUMNS = selectList(Object.values(Prisma.QuotaScalarFieldEnum));

/**
 * @param prefix written before each field's name, for a row that has columns of several tables.
 * @returns a select list that yields Prisma's form of these fields: their names, and enum values in upper case.
 */
export function selectList(fields: readonly string[], prefix = ""): Prisma.Sql {
  const columns = fields.map((field) => {
    const column = `"${snakeCase(field)}"`;
    return `${isEnumField(field) ? `upper(${column}::text)` : column} AS "${prefix}${field}"`;
  });
  return Prisma.raw(columns.join(", "));
}

/** A JSON value as Prisma returns it. */
export type JsonValue = Prisma.JsonValue;

/** @returns the column name of a field, such as `job_id` for `jobId`. Cached, because a batch needs it for every row. */
export function snakeCase(field: string): string {
  const cached = COLUMN_NAMES.get(field);
  if (cached !== undefined) return cached;
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // The cache cannot grow without limit: the names are those of columns and never come from a client.
  COLUMN_NAMES.set(field, name);
  return name;
}

/** An enum value in lower case, as the database stores it and event payloads show it (section 2). */
export type DbEnum<Name extends string> = Lowercase<Name>;

/** @returns the database's form of an enum value, such as `doc_edit` for `DOC_EDIT`. */
export function toDbEnum<Name extends string>(name: Name): DbEnum<Name>;
export function toDbEnum(name: string): string {
  return name.toLowerCase();
}

/**
 * @returns a row as an object whose JSON `json_to_recordset` can read column by column: column names, enum values in lower
 *   case, 64-bit integers as text, times in UTC, bytes in PostgreSQL's hex format. NULL values are left out.
 */
export function toRecord(row: object): Readonly<Record<string, unknown>> {
  const record: Record<string, unknown> = {};
  const entries: [string, unknown][] = Object.entries(row);
  for (const [field, value] of entries) {
    if (value !== null && value !== undefined) record[snakeCase(field)] = toDbValue(value, isEnumField(field));
  }
  return record;
}

/** @returns rows in Prisma's form as one JSON parameter for `json_to_recordset` or `json_populate_recordset`. */
export function toRecordset(rows: readonly object[]): Prisma.Sql {
  return recordset(rows.map(toRecord));
}

/** The same for rows that already have the database's column names and values. */
export function recordset(records: readonly object[]): Prisma.Sql {
  return Prisma.sql`${JSON.stringify(records)}::json`;
}

/** @returns a field's value in the form that `json_to_recordset` reads. */
export function toDbValue(value: unknown, isEnum: boolean): unknown {
  if (typeof value === "string") return isEnum ? toDbEnum(value) : value;
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return value;
}
