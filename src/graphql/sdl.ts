import { type GraphQLSchema, lexicographicSortSchema, printSchema } from "graphql";

/** @returns the schema in SDL, sorted by name, so that moving code around changes nothing. */
export function printSdl(schema: GraphQLSchema): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`;
}
