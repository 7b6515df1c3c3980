import { CriticalityLevel, diff } from "@graphql-inspector/core";
import type { GraphQLSchema } from "graphql";

/**
 * Changes since the last release that break clients and are wanted all the same, each as the check tells it. Emptied at a
 * release.
 */
export const ACCEPTED_BREAKS: readonly string[] = [];

/**
 * Every change that breaks a client of the released schema and is not accepted, one sentence each; and every accepted
 * one that there is not, so that the list stays short.
 */
export async function breaksSince(
  released: GraphQLSchema,
  schema: GraphQLSchema,
  accepted: readonly string[] = [],
): Promise<string[]> {
  const changes = await diff(released, schema);
  const breaks = changes
    .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
    .map(({ message }) => message);
  return [
    ...breaks.filter((message) => !accepted.includes(message)),
    ...accepted.filter((message) => !breaks.includes(message)).map((message) => `accepted, and not there: ${message}`),
  ];
}
