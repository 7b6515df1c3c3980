import { buildSchema, parse, TypeInfo, validate, visit, visitWithTypeInfo } from "graphql";
import { expect, test } from "vitest";
import { filesBelow, readText } from "../support/documents.ts";

/** The operations that the kits send, and that other clients take from them. */

const schema = buildSchema(readText("schema.graphql"));
const document = parse(filesBelow("clients/typescript/src/api/operations", ".graphql").map(readText).join("\n"));
/** Relay's own, by which a client reads again what it has, in the types that it has chosen. */
const FOR_RELAY = ["Query.nodes"];

test("there is one for every field of Query, Mutation and Subscription", () => {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const there = roots.flatMap((type) => Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`));
  const used = new Set(FOR_RELAY);
  const types = new TypeInfo(schema);
  visit(
    document,
    visitWithTypeInfo(types, {
      Field: ({ name }) => {
        used.add(`${types.getParentType()?.name}.${name.value}`);
      },
    }),
  );
  expect(there.length).toBeGreaterThan(40);
  expect(there.filter((field) => !used.has(field))).toEqual([]);
});

test("each is valid", () => {
  expect(validate(schema, document).map(({ message }) => message)).toEqual([]);
});
