import { type FieldNode, type GraphQLResolveInfo, Kind, type SelectionSetNode } from "graphql";
import { z } from "zod";
import type { Slice } from "../db/slice.ts";
import { InvalidInputError } from "../errors.ts";
import { isStorableDate } from "../jobs/input-text.ts";
import { PAGE } from "./builder.ts";

/** Relay connections over lists that are read by keyset: a cursor holds the sort key of its row, not an offset. */

export interface ConnectionArgs {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

/** How a row's position in a list becomes a cursor, and how a cursor is read. */
export interface KeyCodec<Row, Key> {
  /** The row's sort key, as JSON values. */
  readonly keyOf: (row: Row) => readonly (string | number)[];
  /**
   * Checks and reads such a key. A client can forge a cursor, so whatever is not a key of this list must be refused.
   */
  readonly schema: z.ZodType<Key>;
}

export interface Page<Row> {
  readonly edges: { readonly cursor: string; readonly node: Row }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

/**
 * A time in a cursor. One that the database cannot store is refused: in a forged cursor it would make the query fail.
 */
export const storableDate = z.iso
  .datetime()
  .transform((text) => new Date(text))
  .refine(isStorableDate);

/**
 * The slice of a list to read for these arguments.
 * @returns a slice of one row more than the page has; the extra row says whether there is another page.
 * @throws InvalidInputError where both `first` and `last` are given, the page is too large, or a cursor is not of this
 *   list.
 */
export function toSlice<Row, Key>(args: ConnectionArgs, codec: KeyCodec<Row, Key>): Slice<Key> {
  if (args.first != null && args.last != null) {
    throw new InvalidInputError(["last"], "Give first or last, not both.");
  }
  const fromEnd = args.last != null;
  const size = pageSize(fromEnd ? "last" : "first", args.first ?? args.last ?? PAGE.default);
  return {
    limit: size + 1,
    fromEnd,
    after: args.after == null ? undefined : decode("after", args.after, codec),
    before: args.before == null ? undefined : decode("before", args.before, codec),
  };
}

/**
 * Makes the page from the rows that were read for a slice.
 * @returns edges in the order of the list, also where they were read from its end.
 */
export function toPage<Row, Key>(rows: readonly Row[], slice: Slice<Key>, codec: KeyCodec<Row, Key>): Page<Row> {
  const hasMore = rows.length === slice.limit;
  const pageRows = hasMore ? rows.slice(0, -1) : [...rows];
  if (slice.fromEnd) pageRows.reverse();
  const cursorOf = (node: Row) => encode(codec.keyOf(node));
  const [first, last] = [pageRows.at(0), pageRows.at(-1)];
  return {
    // Cursors are encoded on access: most operations select only the rows.
    edges: pageRows.map((node) => ({
      get cursor() {
        return cursorOf(node);
      },
      node,
    })),
    pageInfo: {
      // In the direction of reading, the extra row gives the exact answer. In the other direction, the row of the
      // cursor that was passed is itself a row outside the page.
      hasNextPage: slice.fromEnd ? slice.before !== undefined : hasMore,
      hasPreviousPage: slice.fromEnd ? hasMore : slice.after !== undefined,
      get startCursor() {
        return first === undefined ? null : cursorOf(first);
      },
      get endCursor() {
        return last === undefined ? null : cursorOf(last);
      },
    },
  };
}

function pageSize(name: string, rows: number): number {
  if (rows < 1 || rows > PAGE.max) {
    throw new InvalidInputError([name], `${name} must be from 1 to ${PAGE.max}; read on with the page's cursors.`);
  }
  return rows;
}

function encode(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

function decode<Row, Key>(name: string, cursor: string, codec: KeyCodec<Row, Key>): Key {
  const parsed = codec.schema.safeParse(parse(cursor));
  if (parsed.success) return parsed.data;
  throw new InvalidInputError([name], "This is not a cursor of this list: pass one from a page of it, unchanged.");
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}

/**
 * The names of all fields that the operation selects below the field that is being resolved, at any depth.
 *
 * The names are computed once for each field of a document and then cached, because the server keeps the documents of
 * frequent operations. To walk the document again for each row and each request would cost more than is saved by
 * reading only the selected columns.
 */
export function namesBelow({ fieldNodes, fragments }: GraphQLResolveInfo): ReadonlySet<string> {
  const [first, ...others] = fieldNodes.map((node) => namesOf(node, fragments));
  if (others.length === 0 && first) return first;
  // The document selects the same field more than once.
  return new Set([first, ...others].flatMap((names) => [...(names ?? [])]));
}

/** The key is the field alone: the fragments belong to the same document, so they never differ for the same field. */
const NAMES = new WeakMap<FieldNode, ReadonlySet<string>>();

function namesOf(node: FieldNode, fragments: GraphQLResolveInfo["fragments"]): ReadonlySet<string> {
  const known = NAMES.get(node);
  if (known) return known;
  const names = new Set<string>();
  const spread = new Set<string>();
  const collect = (set: SelectionSetNode | undefined): void => {
    for (const selection of set?.selections ?? []) {
      switch (selection.kind) {
        case Kind.FIELD:
          names.add(selection.name.value);
          collect(selection.selectionSet);
          break;
        case Kind.INLINE_FRAGMENT:
          collect(selection.selectionSet);
          break;
        case Kind.FRAGMENT_SPREAD: {
          const name = selection.name.value;
          if (spread.has(name)) break;
          spread.add(name);
          collect(fragments[name]?.selectionSet);
        }
      }
    }
  };
  collect(node.selectionSet);
  NAMES.set(node, names);
  return names;
}
