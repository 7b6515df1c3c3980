import { type FieldNode, type GraphQLResolveInfo, Kind, type SelectionSetNode } from "graphql";
import { z } from "zod";
import type { Slice } from "../db/slice.ts";
import { InvalidInputError } from "../errors.ts";
import { isStorableDate } from "../jobs/input-text.ts";
import { PAGE } from "./builder.ts";

/** A Relay connection over a list that is read by keyset. */

export interface ConnectionArgs {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

/** How a row's place in a list becomes a cursor, and back. */
export interface KeyCodec<Row, Key> {
  readonly keyOf: (row: Row) => readonly (string | number)[];
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

/** A moment in a cursor: a forged one must not reach the database as one that it cannot hold. */
export const storableDate = z.iso
  .datetime()
  .transform((text) => new Date(text))
  .refine(isStorableDate);

/**
 * The part of a list that these arguments ask for, one row more than the page, which tells whether there is another.
 * @throws InvalidInputError
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

/** The page out of the rows that a slice gave. */
export function toPage<Row, Key>(rows: readonly Row[], slice: Slice<Key>, codec: KeyCodec<Row, Key>): Page<Row> {
  const more = rows.length === slice.limit;
  const kept = more ? rows.slice(0, -1) : [...rows];
  if (slice.fromEnd) kept.reverse();
  const cursorOf = (node: Row) => encode(codec.keyOf(node));
  const [first, last] = [kept.at(0), kept.at(-1)];
  return {
    // A cursor is made where it is asked for: most operations want the rows alone.
    edges: kept.map((node) => ({
      get cursor() {
        return cursorOf(node);
      },
      node,
    })),
    pageInfo: {
      // On the far side the answer is exact; on the near side the cursor itself is what lies there.
      hasNextPage: slice.fromEnd ? slice.before !== undefined : more,
      hasPreviousPage: slice.fromEnd ? more : slice.after !== undefined,
      get startCursor() {
        return first === undefined ? null : cursorOf(first);
      },
      get endCursor() {
        return last === undefined ? null : cursorOf(last);
      },
    },
  };
}

function pageSize(name: string, asked: number): number {
  if (asked < 1 || asked > PAGE.max) {
    throw new InvalidInputError([name], `${name} must be from 1 to ${PAGE.max}; read on with the page's cursors.`);
  }
  return asked;
}

function encode(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

function decode<Row, Key>(name: string, cursor: string, codec: KeyCodec<Row, Key>): Key {
  const parsed = codec.schema.safeParse(parse(cursor));
  if (parsed.success) return parsed.data;
  throw new InvalidInputError([name], "This is no cursor of this list: pass one from a page of it, unchanged.");
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}

/**
 * The names of all fields that the operation asks for, however deep below the one that is being resolved. Told once for
 * each field of a document: the server keeps the documents that come often, and walking one again for each row and each
 * request would cost more than what it saves to read only the columns asked for.
 */
export function namesBelow({ fieldNodes, fragments }: GraphQLResolveInfo): ReadonlySet<string> {
  const [first, ...others] = fieldNodes.map((node) => namesOf(node, fragments));
  if (others.length === 0 && first) return first;
  // The same field was asked for at several places of the document.
  return new Set([first, ...others].flatMap((names) => [...(names ?? [])]));
}

/** Fragments are of the field's own document, and so never others for the same field. */
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
