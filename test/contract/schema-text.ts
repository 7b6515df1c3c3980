import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSchema, type GraphQLSchema } from "graphql";

/** The schema that the code serves, printed and committed. */
export const SCHEMA_FILE = fileURLToPath(new URL("../../schema.graphql", import.meta.url));
/** The contract: what clients may rely on. The schema may offer more, and never less. */
export const CONTRACT_FILE = fileURLToPath(new URL("api.graphql", import.meta.url));
/** What clients have: the schema of the last release. No change of ours breaks them unless that is wanted. */
export const RELEASED_FILE = fileURLToPath(new URL("released.graphql", import.meta.url));

export function readSchema(file: string): GraphQLSchema {
  return buildSchema(readFileSync(file, "utf8"));
}
