import { Prisma } from "./generated/client/client.ts";

/**
 * Parts of lists, by keyset: a page starts after the key of a row instead of after a number of rows, so that rows
 * inserted meanwhile neither repeat nor hide any.
 */

/** A part of a list: at most `limit` rows strictly between two keys, from the list's start or from its end. */
export interface Slice<Key> {
  readonly limit: number;
  readonly after?: Key | undefined;
  readonly before?: Key | undefined;
  /** Read from the end towards the start. */
  readonly fromEnd: boolean;
}

/**
 * What follows the WHERE clause of a statement that reads the same slice of many short lists, each in ascending order
 * of one column.
 * @param column the key; unique within each list.
 * @returns further conditions, ORDER BY and LIMIT.
 */
export function sliceClauses(column: Prisma.Sql, { limit, after, before, fromEnd }: Slice<number>): Prisma.Sql {
  const above = after === undefined ? Prisma.empty : Prisma.sql`AND ${column} > ${after}`;
  const below = before === undefined ? Prisma.empty : Prisma.sql`AND ${column} < ${before}`;
  return Prisma.sql`${above} ${below} ORDER BY ${column} ${fromEnd ? Prisma.sql`DESC` : Prisma.sql`ASC`} LIMIT ${limit}`;
}

/** Rows by the id that `idOf` gives, each list in the order of the rows. */
export function groupBy<Row>(rows: readonly Row[], idOf: (row: Row) => string): ReadonlyMap<string, Row[]> {
  const lists = new Map<string, Row[]>();
  for (const row of rows) {
    const list = lists.get(idOf(row));
    if (list) list.push(row);
    else lists.set(idOf(row), [row]);
  }
  return lists;
}
