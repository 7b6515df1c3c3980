import { describe, expect, test } from "vitest";
import { faultOfAnswer, faultOfAnswerSchema } from "../../src/runs/answer-schema.ts";

/** A schema that looks at an answer 2 to the power of `depth` times. */
const doubling = (depth: number) => ({
  $ref: "#/$defs/0",
  $defs: Object.fromEntries(
    Array.from({ length: depth + 1 }, (_, at): [string, object] => {
      const next = { $ref: `#/$defs/${at + 1}` };
      return [String(at), at === depth ? {} : { allOf: [next, { allOf: [next] }] }];
    }),
  ),
});

describe("a schema of an answer", () => {
  test.each([
    [true],
    [{}],
    [{ type: "object", properties: { send: { type: "boolean" } }, required: ["send"], additionalProperties: false }],
    [{ $schema: "https://json-schema.org/draft/2020-12/schema", enum: ["yes", "no"] }],
    [{ $ref: "#/$defs/name", $defs: { name: { type: "string", pattern: "^\\p{L}+$" } } }],
    [{ patternProperties: { "^x-": { type: "integer" } } }],
    [{ properties: { $ref: { type: "string" }, $id: { type: "string" } } }],
  ])("may be %j", async (schema) => {
    expect(await faultOfAnswerSchema(schema)).toBeNull();
  });

  test.each([
    ["no schema", [1], "object, true or false"],
    ["a text", "string", "object, true or false"],
    ["of an unknown type", { type: "strnig" }, "no JSON Schema"],
    ["with a reference to the network", { $ref: "https://example.com/schema" }, "in the schema itself"],
    ["with a reference to a file", { items: [{ $dynamicRef: "file:///etc/passwd" }] }, "in the schema itself"],
    ["with a reference to nothing", { $ref: "#/$defs/nothing" }, "no JSON Schema"],
    ["with an address of its own", { $id: "https://example.com/schema" }, "no $id"],
    ["of another draft", { $schema: "http://json-schema.org/draft-07/schema#" }, "supported"],
    ["with a pattern that is none", { pattern: "(" }, "no JSON Schema"],
    ["with a pattern that looks behind", { pattern: "(?<=a)b" }, "no JSON Schema"],
    ["with a pattern that refers back", { pattern: "(a)\\1" }, "no JSON Schema"],
    ["that is itself", { $ref: "#" }, "without end"],
    ["that is itself by way of others", { $ref: "#/$defs/a", $defs: { a: { allOf: [{ $ref: "#" }] } } }, "without end"],
    ["that takes for ever with any answer", doubling(30), "longer than 50 ms"],
  ])("is not one %s", async (_, schema, message) => {
    expect(await faultOfAnswerSchema(schema)).toContain(message);
  });
});

describe("an answer", () => {
  const schema = {
    type: "object",
    properties: { send: { type: "boolean" }, to: { type: "array", items: { type: "string", pattern: "@" } } },
    required: ["send"],
  };

  test.each([[{ send: true }], [{ send: false, to: ["a@b"] }]])("%j meets its schema", async (answer) => {
    expect(await faultOfAnswer(schema, answer)).toBeNull();
  });

  test.each([
    [{}, "/required", []],
    [{ send: "yes" }, "type", ["send"]],
    [{ send: true, to: ["a@b", "nobody"] }, "pattern", ["to", "1"]],
    [[], "type", []],
  ])("%j does not, and is told where", async (answer, keyword, path) => {
    const fault = await faultOfAnswer(schema, answer);
    expect(fault?.message).toContain(keyword);
    expect(fault?.path).toEqual(path);
  });

  test("takes a time that is linear in its length for any pattern", async () => {
    const fault = await faultOfAnswer({ type: "string", pattern: "^(a+)+$" }, `${"a".repeat(300)}!`);
    // And not that it takes too long, as with an engine that goes back.
    expect(fault?.message).toContain("pattern");
  });

  test("by which a schema goes round without end is refused", async () => {
    const round = { if: { not: { const: "round" } }, else: { $ref: "#/$defs/a" } };
    const schema = { $ref: "#/$defs/a", $defs: { a: round } };
    expect(await faultOfAnswerSchema(schema)).toBeNull();
    expect(await faultOfAnswer(schema, "straight")).toBeNull();
    expect((await faultOfAnswer(schema, "round"))?.message).toContain("cancel the job");
  });

  test("that would take for ever to check is refused in time", async () => {
    const twice = { anyOf: [{ $ref: "#/$defs/list" }, { $ref: "#/$defs/list" }] };
    const schema = { $ref: "#/$defs/list", $defs: { list: { type: "array", items: { allOf: [twice, twice] } } } };
    let answer: string | object = "not a list";
    for (let depth = 0; depth < 30; depth++) answer = [answer];
    const began = performance.now();
    expect((await faultOfAnswer(schema, answer))?.message).toContain("longer than 50 ms");
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
