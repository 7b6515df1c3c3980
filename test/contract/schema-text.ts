import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSchema, type GraphQLSchema, lexicographicSortSchema, printSchema } from "graphql";

/** The schema that the code serves, printed and committed. */
export const SCHEMA_FILE = fileURLToPath(new URL("../../schema.graphql", import.meta.url));
/** The public face that clients may rely on. */
export const SPEC_FILE = fileURLToPath(new URL("api.graphql", import.meta.url));
/** Where the specification is checked out beside this project, the original of `SPEC_FILE`. */
export const SPEC_ORIGINAL = fileURLToPath(new URL("../../../shared/spec/api.graphql", import.meta.url));

/** Sorted, so that moving code around changes nothing. */
export function printed(schema: GraphQLSchema): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`;
}

export function readSchema(file: string): GraphQLSchema {
  return buildSchema(readFileSync(file, "utf8"));
}
