import { expect, test } from "vitest";
import { boundedJson, boundedText } from "../../src/jobs/input-text.ts";
import { uuidOrNil } from "../../src/uuid.ts";

const NESTED = (levels: number): unknown => {
  let value: unknown = "bottom";
  for (let level = 0; level < levels; level++) value = [value];
  return value;
};

test.each([
  ["plain text", "hello", true],
  ["an emoji", "a 👍 b", true],
  ["U+0000", "a\0b", false],
  ["a lone high surrogate", "a\ud800b", false],
  ["a lone low surrogate", "a\udc00", false],
  ["nothing", "", false],
  ["one unit too many", "x".repeat(11), false],
  ["just as many as may be", "x".repeat(10), true],
])("a text with %s", (_what, value, accepted) => {
  expect(boundedText(10).safeParse(value).success).toBe(accepted);
});

test.each<[string, unknown, boolean]>([
  ["null", null, true],
  ["nothing", undefined, true],
  ["an ordinary document", { a: [1, 2.5, "x", { b: true }] }, true],
  ["2^53 - 1", { n: Number.MAX_SAFE_INTEGER }, true],
  ["2^53", { n: 2 ** 53 }, false],
  ["-2^53", { n: -(2 ** 53) }, false],
  ["1e400, which JSON.parse reads as Infinity", JSON.parse("[1e400]"), false],
  ["U+0000 in a value", { a: ["x\0"] }, false],
  ["U+0000 in a key", { "x\0": 1 }, false],
  ["a lone surrogate deep inside", { a: { b: ["\udfff"] } }, false],
  ["a key named __proto__", JSON.parse('{"__proto__": {"polluted": true}}'), true],
  ["100 levels", NESTED(100), true],
  ["101 levels", NESTED(101), false],
  ["100,000 levels", NESTED(100_000), false],
  ["more bytes than may be", "x".repeat(1000), false],
  ["just as many bytes as may be, quotes included", "x".repeat(498), true],
  ["one byte too many", "x".repeat(499), false],
  ["few characters of many bytes", "漢".repeat(167), false],
  ["-2^53 + 1", -Number.MAX_SAFE_INTEGER, true],
  ["a fraction as small as there is", Number.MIN_VALUE, true],
  ["a pair of surrogates", { "\u{1f642}": "\u{1f642}" }, true],
])("JSON with %s", (_what, value, accepted) => {
  expect(boundedJson(500).safeParse(value).success).toBe(accepted);
});

test("the fault is named with its path", () => {
  const parsed = boundedJson(500).safeParse({ a: [{ b: "x\0" }] });
  expect(parsed.error?.issues).toMatchObject([{ path: ["a", 0, "b"], message: expect.stringContaining("U+0000") }]);
});

test("an id that is no UUID is looked up as one that no row has", () => {
  expect(uuidOrNil("018F3C4E-7B1A-7CC3-9A55-0C1E2D3F4A5B")).toBe("018f3c4e-7b1a-7cc3-9a55-0c1e2d3f4a5b");
  expect(uuidOrNil("'; DROP TABLE ai_jobs; --")).toBe("00000000-0000-0000-0000-000000000000");
});
