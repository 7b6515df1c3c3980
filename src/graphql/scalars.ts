import { GraphQLError, GraphQLScalarType, Kind, TokenKind, type ValueNode } from "graphql";
import { DateTimeResolver, JSONResolver } from "graphql-scalars";
import { isStorableDate } from "../jobs/input-text.ts";
import { MAX_CURSOR_LENGTH } from "../log/cursor.ts";
import { asUuid } from "../uuid.ts";
import { builder } from "./builder.ts";

function refuse(message: string): never {
  throw new GraphQLError(message, { extensions: { code: "INVALID_INPUT" } });
}

/** The beginning of a value: a message quotes it twice, and names the field before it. */
function shown(value: unknown): string {
  return String(value).slice(0, 40).toWellFormed();
}

function toSafeInt(value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  return refuse(`${shown(value)} is not a whole number from 0 to 2^53 - 1.`);
}

function toCursor(value: unknown): string {
  if (typeof value === "string" && value.length > 0 && value.length <= MAX_CURSOR_LENGTH) return value;
  return refuse("This is not a cursor: pass one that this server returned, unchanged.");
}

/** The UUID as PostgreSQL writes it, in lower case: ids of the same row must be equal as texts, in maps and cursors. */
function toUuid(value: unknown): string {
  return asUuid(value) ?? refuse(`${shown(value)} is not a UUID.`);
}

function toStorableDate(value: unknown): Date {
  const date = typeof value === "string" && value.length <= MAX_DATE_LENGTH ? dateOf(value) : undefined;
  if (date === undefined) return refuse(`${shown(value)} is not a date and time in RFC 3339.`);
  return isStorableDate(date) ? date : refuse("A DateTime must be in the years 1 to 9999, in UTC.");
}

/** Characters of a date: RFC 3339 allows any number of digits of a second. */
const MAX_DATE_LENGTH = 100;

function dateOf(text: string): Date | undefined {
  try {
    return DateTimeResolver.parseValue(text);
  } catch {
    return undefined;
  }
}

/**
 * Makes a `parseLiteral` of a scalar that is written as one kind of literal. Variables go through `parseValue`, where
 * graphql-js itself tells the place.
 */
function parseLiteral<Value>(kind: Kind.INT | Kind.STRING, parse: (text: string) => Value) {
  return (node: ValueNode): Value => {
    if (node.kind !== kind) return refuseLiteral(node, `a literal of kind ${kind} is expected here.`);
    try {
      return parse(node.value);
    } catch (error) {
      return refuseLiteral(node, error instanceof Error ? error.message : "is not valid.");
    }
  };
}

/** Refuses a literal with its place in the document, and the name of the field or argument that it is for. */
function refuseLiteral(node: ValueNode, message: string): never {
  const name = fieldNameOf(node);
  throw new GraphQLError(name === undefined ? message : `${name}: ${message}`, {
    nodes: node,
    extensions: { code: "INVALID_INPUT" },
  });
}

/** The name before the colon that the literal, or the list that it is in, stands behind. */
function fieldNameOf({ loc }: ValueNode): string | undefined {
  let token = loc?.startToken.prev;
  while (token && !STOPS.includes(token.kind)) token = token.prev;
  return token?.kind === TokenKind.COLON ? token.prev?.value : undefined;
}
const STOPS: readonly string[] = [TokenKind.COLON, TokenKind.PAREN_L, TokenKind.BRACE_L, TokenKind.SOF];

/** The value of a JSON literal. What JSON has no form for is refused, wherever it stands: an enum's word would become null. */
function toJson(node: ValueNode, variables: Readonly<Record<string, unknown>> | null | undefined): unknown {
  switch (node.kind) {
    case Kind.STRING:
    case Kind.BOOLEAN:
      return node.value;
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.NULL:
      return null;
    case Kind.LIST:
      return node.values.map((value) => toJson(value, variables) ?? null);
    case Kind.OBJECT: {
      const entries = node.fields.map(({ name, value }) => [name.value, toJson(value, variables)] as const);
      // A variable that was not given is a field that is not there.
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
    }
    case Kind.VARIABLE:
      return variables?.[node.name.value];
    case Kind.ENUM:
      return refuseLiteral(
        node,
        `${shown(node.value)} is no JSON. Write it in quotes, or pass the value as a variable.`,
      );
  }
}

builder.addScalarType(
  "UUID",
  new GraphQLScalarType<string, string>({
    name: "UUID",
    specifiedByURL: "https://www.rfc-editor.org/rfc/rfc9562",
    description: "A UUID, such as `018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b`.",
    serialize: toUuid,
    parseValue: toUuid,
    parseLiteral: parseLiteral(Kind.STRING, toUuid),
  }),
);

builder.addScalarType(
  "DateTime",
  new GraphQLScalarType<Date, Date>({
    name: "DateTime",
    specifiedByURL: "https://www.rfc-editor.org/rfc/rfc3339",
    description: "A date and time in RFC 3339, such as `2026-11-22T18:41:00.000Z`; stored in UTC to the millisecond.",
    serialize: (value) => DateTimeResolver.serialize(value),
    parseValue: toStorableDate,
    parseLiteral: parseLiteral(Kind.STRING, toStorableDate),
  }),
);

builder.addScalarType(
  "JSON",
  new GraphQLScalarType<unknown, unknown>({
    ...JSONResolver.toConfig(),
    specifiedByURL: "https://www.rfc-editor.org/rfc/rfc8259",
    parseLiteral: toJson,
    description:
      "Any JSON value. Text with U+0000 or a lone surrogate, a number beyond 2^53 - 1, and more than 100 levels are " +
      "refused (INVALID_INPUT). A JSON null is stored like a value that is left out.",
  }),
);

builder.addScalarType(
  "SafeInt",
  new GraphQLScalarType<number, number>({
    name: "SafeInt",
    description: "An integer from 0 to 2^53 - 1, which every client, JavaScript included, reads exactly.",
    serialize: toSafeInt,
    parseValue: toSafeInt,
    parseLiteral: parseLiteral(Kind.INT, (text) => toSafeInt(Number(text))),
  }),
);

builder.addScalarType(
  "Cursor",
  new GraphQLScalarType<string, string>({
    name: "Cursor",
    description:
      "An opaque position in the event log, or in the output of a job. It grants no permission (section 10).",
    serialize: toCursor,
    parseValue: toCursor,
    parseLiteral: parseLiteral(Kind.STRING, toCursor),
  }),
);
