import { expect, test } from "vitest";
import { z } from "zod";
import { plannedOperationsOf } from "../../src/jobs/planned-operations.ts";

const target = { entityKind: "document", entityId: "d1" };

test.each([
  ["read", "READ"],
  ["write", "WRITE"],
  ["plan", "PLAN"],
  ["execute", "EXECUTE"],
])("an operation that is stored as %s is %s", (word, opType) => {
  const plannedOperations = [{ opType: word, target: { ...target, selector: "p1" }, description: "why" }];
  expect(plannedOperationsOf({ plannedOperations })).toEqual([
    { opType, target: { ...target, selector: "p1" }, description: "why" },
  ]);
});

test("none planned is an empty list", () => {
  expect(plannedOperationsOf({ plannedOperations: [] })).toEqual([]);
});

test.each([
  ["an operation that there is not", { opType: "delete", target, description: null }],
  ["a name instead of a word", { opType: "READ", target, description: null }],
  ["a key of every object", { opType: "__proto__", target, description: null }],
  ["no target", { opType: "read", description: null }],
  ["a target without an id", { opType: "read", target: { entityKind: "document", entityId: "" }, description: null }],
  ["U+0000", { opType: "read", target, description: "a\0b" }],
])("what the database should never hold is no operation: %s", (_, operation) => {
  expect(() => plannedOperationsOf({ plannedOperations: [operation] })).toThrow(z.ZodError);
});
