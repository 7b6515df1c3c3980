import type { GraphQLSchema } from "graphql";
import { elementsOf, type SchemaElement } from "./schema-elements.ts";

/**
 * Every way in which `schema` is not what `promised` says, one sentence each; empty when it holds. More fields, values,
 * members and optional inputs are fine.
 * @param notYet coordinates left out until a later version; each stands for everything below it,
 *   a type also for its place in unions.
 */
export function breaches(promised: GraphQLSchema, schema: GraphQLSchema, notYet: readonly string[]): string[] {
  const spec = byCoordinate(promised);
  const served = byCoordinate(schema);
  const isDeferred = (coordinate: string) => notYet.some((listed) => covers(listed, coordinate));
  return [
    ...notYet.filter((listed) => !spec.has(listed)).map((listed) => `${listed}: on the list, but nothing in the spec`),
    ...notYet.filter((listed) => served.has(listed)).map((listed) => `${listed}: on the list, but served already`),
    ...[...spec.values()].filter(({ coordinate }) => !isDeferred(coordinate)).flatMap((it) => unlike(it, served)),
    ...[...served.values()]
      .filter((it) => isNewDuty(it, spec))
      .map((it) => `${it.coordinate}: required, not in the spec`),
  ];
}

function byCoordinate(schema: GraphQLSchema): ReadonlyMap<string, SchemaElement> {
  return new Map(elementsOf(schema).map((it) => [it.coordinate, it]));
}

function covers(listed: string, coordinate: string): boolean {
  const isBelow = [".", "(", " "].some((next) => coordinate.startsWith(listed + next));
  return isBelow || coordinate === listed || coordinate.endsWith(` | ${listed}`);
}

function unlike({ coordinate, signature }: SchemaElement, served: ReadonlyMap<string, SchemaElement>): string[] {
  const found = served.get(coordinate);
  if (!found) return [`${coordinate}: missing`];
  return found.signature === signature ? [] : [`${coordinate}: ${found.signature}, where the spec says ${signature}`];
}

/** A new input that clients of the spec do not send, in a place that they know. */
function isNewDuty({ coordinate, required }: SchemaElement, spec: ReadonlyMap<string, SchemaElement>): boolean {
  const [parent = ""] = coordinate.split(coordinate.includes("(") ? "(" : ".");
  return required && !spec.has(coordinate) && spec.has(parent);
}
