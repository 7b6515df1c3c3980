import { describe, expect, test } from "vitest";
import { answerOf, draftOf, fieldOf } from "../../console/src/inbox/schema-fields.ts";

/** The form of an answer, as its JSON Schema says; the worker wrote it, and may have written anything. */

const kindOf = (schema: unknown) => fieldOf(schema).kind;

test.each([
  [{ type: "string" }, "text"],
  [{ type: "integer" }, "number"],
  [{ type: "number" }, "number"],
  [{ type: "boolean" }, "yesno"],
  [{ enum: ["a", 1, null] }, "choice"],
  [{ oneOf: [{ const: 1, title: "One" }, { const: 2 }] }, "choice"],
  [{ type: "array", items: { type: "string" } }, "list"],
  [{ type: "object", properties: { a: { type: "string" } } }, "group"],
  [{ type: "array", items: { type: "object" } }, "json"],
  [{ type: "object" }, "json"],
  [{ oneOf: [{ const: 1 }, { type: "string" }] }, "json"],
  [{ type: ["string", "null"] }, "json"],
  [null, "json"],
  [true, "json"],
  ["text", "json"],
  [{ enum: [] }, "json"],
])("%j is asked for as %s", (schema, kind) => {
  expect(kindOf(schema)).toBe(kind);
});

describe("an answer", () => {
  const schema = {
    type: "object",
    required: ["send", "count", "to"],
    properties: {
      send: { type: "boolean" },
      count: { type: "integer" },
      to: { enum: ["tenant", "owner"] },
      note: { type: "string" },
      pages: { type: "array", items: { type: "integer" } },
      more: { type: "object", required: ["price"], properties: { price: { type: "number" } } },
    },
  };
  const field = fieldOf(schema);
  const draft = { send: true, count: "3", to: 1, note: "", pages: "1\n\n2", more: { price: "0.5" } };

  test("is what was typed, with what was left empty left out", () => {
    expect(answerOf(field, draft)).toEqual({
      answer: { send: true, count: 3, to: "owner", pages: [1, 2], more: { price: 0.5 } },
      faults: new Map(),
    });
  });

  test("says where something lacks or cannot be", () => {
    const { faults } = answerOf(field, { ...draft, count: "1.5", to: undefined, pages: "x", more: { price: "" } });
    expect([...faults.keys()].toSorted()).toEqual(["count", "more.price", "pages", "to"]);
  });

  test("is never a number that would not be kept exactly", () => {
    const { faults } = answerOf(fieldOf({ type: "integer" }), "9007199254740993");
    expect([...faults.keys()]).toEqual([""]);
  });

  test("of no schema is JSON", () => {
    const anything = fieldOf(null);
    expect(answerOf(anything, '{"a":1}').answer).toEqual({ a: 1 });
    expect(answerOf(anything, "text").faults.size).toBe(1);
    expect(answerOf(anything, draftOf(anything)).faults.size).toBe(1);
  });
});
