import { Prisma } from "./generated/client/client.ts";

/**
 * Keyset pagination: a page starts after the key of a row, not after a number of rows. So rows that are inserted between two
 * pages neither repeat a row nor hide one.
 */

/** A page of a list: at most `limit` rows strictly between two keys, counted from the start or from the end of the list. */
export interface Slice<Key> {
  readonly limit: number;
  readonly after?: Key | undefined;
  readonly before?: Key | undefined;
  /** Whether rows are taken from the end of the list; they are then read in the reverse order. */
  readonly fromEnd: boolean;
}

/**
 * The end of a statement that reads a page of a list in ascending order of one column.
 * @param column the key: unique within the list.
 * @returns further conditions for the WHERE clause (starting with AND), then ORDER BY and LIMIT.
 */
export function sliceClauses(column: Prisma.Sql, { limit, after, before, fromEnd }: Slice<number>): Prisma.Sql {
  const above = after === undefined ? Prisma.empty : Prisma.sql`AND ${column} > ${after}`;
  const below = before === undefined ? Prisma.empty : Prisma.sql`AND ${column} < ${before}`;
  return Prisma.sql`${above} ${below} ORDER BY ${column} ${fromEnd ? Prisma.sql`DESC` : Prisma.sql`ASC`} LIMIT ${limit}`;
}

/** @returns the rows grouped by the id that `idOf` gives. Each group keeps the order of the rows. */
export function groupBy<Row>(rows: readonly Row[], idOf: (row: Row) => string): ReadonlyMap<string, Row[]> {
  const lists = new Map<string, Row[]>();
  for (const row of rows) {
    const list = lists.get(idOf(row));
    if (list) list.push(row);
    else lists.set(idOf(row), [row]);
  }
  return lists;
}
