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
 * How rows read by hand-written SQL come to look like Prisma's own: the select list renames each column, and gives
 * enum values by the names that TypeScript and GraphQL use. test/storage proves it against Prisma, column by column.
 */

/** Names of columns by the names of their fields. */
const COLUMN_NAMES = new Map<string, string>();

/** The columns of these models that are of a native enum. */
type EnumField<Model> = Model extends unknown
  ? {
      [Field in keyof Model]: NonNullable<Model[Field]> extends string
        ? string extends NonNullable<Model[Field]>
          ? never
          : Field
        : never;
    }[keyof Model]
  : never;

/** Columns of a native enum, of all tables that are read here; one that is missing does not compile. */
const ENUM_FIELDS = {
  jobKind: true,
  state: true,
  previousState: true,
  accessMode: true,
  safetyMode: true,
  modelTier: true,
  type: true,
  actor: true,
  resource: true,
} as const satisfies Record<
  EnumField<AiJob | WorkflowRun | NodeExecution | FlightRecorderEvent | WorkerReport | Quota>,
  true
>;

/** Whether a column of this name is of a native enum, in whichever table. */
export function isEnumField(field: string): boolean {
  return Object.hasOwn(ENUM_FIELDS, field);
}

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

/** Columns as a row of Prisma has them: by the names of the fields, and with the names of an enum's values. */
export function selectList(fields: readonly string[]): Prisma.Sql {
  const columns = fields.map((field) => {
    const column = `"${snakeCase(field)}"`;
    return `${isEnumField(field) ? `upper(${column}::text)` : column} AS "${field}"`;
  });
  return Prisma.raw(columns.join(", "));
}

/** A JSON value as Prisma has it. */
export type JsonValue = Prisma.JsonValue;

/** A field's name in the database. Remembered: a batch asks for the same names with every row. */
export function snakeCase(field: string): string {
  const cached = COLUMN_NAMES.get(field);
  if (cached !== undefined) return cached;
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // Bounded: what is asked for are names of columns, and nothing that a client chooses.
  COLUMN_NAMES.set(field, name);
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
    if (value !== null && value !== undefined) record[snakeCase(field)] = toColumn(value, isEnumField(field));
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

/** A value as `toRecord` has it. */
export function toColumn(value: unknown, isEnum: boolean): unknown {
  if (typeof value === "string") return isEnum ? toDbEnum(value) : value;
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return value;
}
