import type { GraphQLSchema } from "graphql";
import { elementsOf, type SchemaElement } from "./schema-elements.ts";

/**
 * Every way in which `schema` is not what `promised` says, one sentence each; empty when it holds. More fields, values,
 * members and optional inputs are fine.
 */
export function contractViolations(promised: GraphQLSchema, schema: GraphQLSchema): string[] {
  const contract = byCoordinate(promised);
  const served = byCoordinate(schema);
  return [
    ...[...contract.values()].flatMap((it) => unlike(it, served)),
    ...[...served.values()]
      .filter((it) => isNewDuty(it, contract))
      .map((it) => `${it.coordinate}: required, not in the contract`),
  ];
}

function byCoordinate(schema: GraphQLSchema): ReadonlyMap<string, SchemaElement> {
  return new Map(elementsOf(schema).map((it) => [it.coordinate, it]));
}

function unlike({ coordinate, signature }: SchemaElement, served: ReadonlyMap<string, SchemaElement>): string[] {
  const found = served.get(coordinate);
  if (!found) return [`${coordinate}: missing`];
  return found.signature === signature
    ? []
    : [`${coordinate}: ${found.signature}, where the contract says ${signature}`];
}

/** A new input that clients of the contract do not send, in a place that they know. */
function isNewDuty({ coordinate, required }: SchemaElement, contract: ReadonlyMap<string, SchemaElement>): boolean {
  const [parent = ""] = coordinate.split(coordinate.includes("(") ? "(" : ".");
  return required && !contract.has(coordinate) && contract.has(parent);
}
