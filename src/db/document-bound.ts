import { InvalidInputError } from "../errors.ts";
import { Prisma } from "./generated/client/client.ts";
import { selectList, snakeCase } from "./rows.ts";

/**
 * A bound of the documents that one statement reads. A page of 100 jobs may have 800 MB of them: to read these would take the memory
 * of everybody. Documents are stored without compression, so that their size is known before any is read.
 */
const MAX_READ_BYTES = 64_000_000;

/** The rows that a statement reads. */
export interface BoundedRows {
  /** The whole rows, as a select list: `ai_jobs.*`. */
  readonly rows: Prisma.Sql;
  /** What stands behind FROM, WHERE included. */
  readonly from: Prisma.Sql;
  /** ORDER BY and LIMIT, if there are any. */
  readonly orderAndLimit?: Prisma.Sql;
  /** The same without LIMIT. */
  readonly orderBy?: Prisma.Sql;
}

/**
 * Writes a statement that reads no documents where they are too large together.
 * @param fields the fields to read of the rows.
 * @param isDocument tells which of them may be large.
 */
export function selectBounded(
  { rows, from, orderAndLimit = Prisma.empty, orderBy = Prisma.empty }: BoundedRows,
  fields: readonly string[],
  isDocument: (field: string) => boolean,
): Prisma.Sql {
  const documents = fields.filter(isDocument);
  if (documents.length === 0) return Prisma.sql`SELECT ${selectList(fields)} FROM ${from} ${orderAndLimit}`;
  const columns = fields.filter((field) => !isDocument(field));
  const bytes = documents.map((field) => `coalesce(pg_column_size("${snakeCase(field)}"), 0)`).join(" + ");
  const bounded = documents.map((field) => {
    return `CASE WHEN document_bytes <= ${MAX_READ_BYTES} THEN "${snakeCase(field)}" END AS "${field}"`;
  });
  return Prisma.sql`
    SELECT ${columns.length === 0 ? Prisma.empty : Prisma.sql`${selectList(columns)},`} ${Prisma.raw(bounded.join(", "))},
      document_bytes::bigint AS "documentBytes"
    FROM (
      SELECT *, sum(${Prisma.raw(bytes)}) OVER () AS document_bytes FROM (SELECT ${rows} FROM ${from} ${orderAndLimit}) AS page
    ) AS measured ${orderBy}`;
}

/**
 * @returns the rows of a statement of `selectBounded`.
 * @throws InvalidInputError where their documents were too large together, and were not read.
 */
export function withinBound<Row extends object>(rows: Row[]): Row[] {
  const [first] = rows;
  const bytes = first && "documentBytes" in first ? Number(first.documentBytes) : 0;
  if (bytes <= MAX_READ_BYTES) return rows;
  const megabytes = (count: number) => Math.ceil(count / 1e6);
  throw new InvalidInputError(
    [],
    `The documents that are asked for are ${megabytes(bytes)} MB together; at most ${megabytes(MAX_READ_BYTES)} MB are read at once. ` +
      "Ask for fewer rows at a time, or for each by its id.",
  );
}
