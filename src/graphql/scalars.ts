import { GraphQLError, GraphQLScalarType, Kind, type ValueNode } from "graphql";
import { DateTimeResolver, JSONResolver } from "graphql-scalars";
import { isStorableDate } from "../jobs/input-text.ts";
import { asUuid } from "../uuid.ts";
import { builder } from "./builder.ts";

function refuse(message: string): never {
  throw new GraphQLError(message, { extensions: { code: "INVALID_INPUT" } });
}

function toSafeInt(value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  return refuse(`${String(value).slice(0, 40)} is not a whole number from 0 to 2^53 - 1.`);
}

/** The longest cursor, in characters. With the 100 positions that one can carry it has about 3,900. */
const MAX_CURSOR_LENGTH = 4000;

function toCursor(value: unknown): string {
  if (typeof value === "string" && value.length > 0 && value.length <= MAX_CURSOR_LENGTH) return value;
  return refuse("This is not a cursor: pass one that this server returned, unchanged.");
}

/** The UUID as PostgreSQL writes it, in lower case: ids of the same row must be equal as texts, in maps and cursors. */
function toUuid(value: unknown): string {
  return asUuid(value) ?? refuse(`${String(value).slice(0, 40)} is not a UUID.`);
}

function toStorableDate(value: unknown): Date {
  const date = DateTimeResolver.parseValue(value);
  return isStorableDate(date) ? date : refuse("A DateTime must be in the years 1 to 9999, in UTC.");
}

/** The text of a literal in a document. Variables go through `parseValue`. */
function literal(node: ValueNode, kind: Kind.INT | Kind.STRING): string {
  return node.kind === kind && "value" in node
    ? String(node.value)
    : refuse(`A literal of kind ${kind} is expected here.`);
}

builder.addScalarType(
  "UUID",
  new GraphQLScalarType<string, string>({
    name: "UUID",
    description: "A UUID, such as `018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b`.",
    serialize: toUuid,
    parseValue: toUuid,
    parseLiteral: (node) => toUuid(literal(node, Kind.STRING)),
  }),
);

builder.addScalarType(
  "DateTime",
  new GraphQLScalarType<Date, Date>({
    name: "DateTime",
    description: "A date and time in RFC 3339, such as `2026-11-22T18:41:00.000Z`; stored in UTC to the millisecond.",
    serialize: (value) => DateTimeResolver.serialize(value),
    parseValue: toStorableDate,
    parseLiteral: (node) => toStorableDate(literal(node, Kind.STRING)),
  }),
);

builder.addScalarType(
  "JSON",
  describe(
    JSONResolver,
    "Any JSON value. Text with U+0000 or a lone surrogate, a number beyond 2^53 - 1, and more than 100 levels are " +
      "refused (INVALID_INPUT). A JSON null is stored like a value that is left out.",
  ),
);

builder.addScalarType(
  "SafeInt",
  new GraphQLScalarType<number, number>({
    name: "SafeInt",
    description: "An integer from 0 to 2^53 - 1, which every client, JavaScript included, reads exactly.",
    serialize: toSafeInt,
    parseValue: toSafeInt,
    parseLiteral: (node) => toSafeInt(Number(literal(node, Kind.INT))),
  }),
);

builder.addScalarType(
  "Cursor",
  new GraphQLScalarType<string, string>({
    name: "Cursor",
    description: "An opaque position in the event log. It grants no permission (section 10).",
    serialize: toCursor,
    parseValue: toCursor,
    parseLiteral: (node) => toCursor(literal(node, Kind.STRING)),
  }),
);

function describe<Input, Output>(scalar: GraphQLScalarType<Input, Output>, description: string) {
  return new GraphQLScalarType({ ...scalar.toConfig(), description, specifiedByURL: null });
}
