import { expect } from "vitest";

/** What a connection answers, its edges as rows and cursors. */
export interface Page {
  readonly rows: readonly string[];
  readonly cursors: readonly string[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

const AHEAD_AND_BEHIND = ["hasNextPage", "hasPreviousPage"] as const;

/** Reads page after page until there is no more, with something being done between two of them. */
export async function readAll(
  direction: "forwards" | "backwards",
  read: (cursor: string | null) => Promise<Page>,
  between: () => Promise<unknown> = async () => undefined,
): Promise<string[]> {
  const rows: string[] = [];
  for (let cursor: string | null = null, more = true; more; ) {
    const { pageInfo, ...page }: Page = await read(cursor);
    expect(page.cursors).toHaveLength(page.rows.length);
    expect([pageInfo.startCursor, pageInfo.endCursor]).toEqual([
      page.cursors.at(0) ?? null,
      page.cursors.at(-1) ?? null,
    ]);
    // What lies behind the reader is told, too: nothing on the first page, something on every other.
    const [ahead, behind] = direction === "forwards" ? AHEAD_AND_BEHIND : AHEAD_AND_BEHIND.toReversed();
    expect(behind && pageInfo[behind]).toBe(cursor !== null);
    more = (ahead && pageInfo[ahead]) === true;
    if (direction === "forwards") rows.push(...page.rows);
    else rows.unshift(...page.rows);
    cursor = direction === "forwards" ? pageInfo.endCursor : pageInfo.startCursor;
    if (more) await between();
  }
  return rows;
}
