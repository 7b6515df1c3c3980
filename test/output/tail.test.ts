import { expect, test } from "vitest";
import { TAIL_SOURCE_CHARACTERS, tailOf } from "../../src/output/tail.ts";

/** Of a text of this many characters or more a tail is taken. */
const enough = (text: string) => text.padStart(TAIL_SOURCE_CHARACTERS, "x");

test("a short output is its own tail", () => {
  expect(tailOf("")).toBe("");
  const short = `Do not ${"a".repeat(TAIL_SOURCE_CHARACTERS - 8)}`;
  expect(tailOf(short)).toBe(short);
});

test.each([
  ["a sentence", `first. Second ${"a".repeat(2000)}`, /^Second a+$/],
  ["the last of several sentences", `one. Two! “Three?” Four ${"a".repeat(2000)}`, /^Four a+$/],
  ["a sentence of a language without spaces", `一。二！三 ${"a".repeat(2000)}`, /^三 a+$/],
  ["a line", `- one\n- two ${"a".repeat(2000)}`, /^- two a+$/],
  ["a word, where there is no sentence", `some words ${"a".repeat(2000)}`, /^a+$/],
])("it begins with %s", (_, text, expected) => {
  expect(tailOf(enough(text))).toMatch(expected);
});

test("it is never shorter than 2,000 characters", () => {
  const tail = tailOf(enough(`One. ${"a".repeat(1990)}. Two ${"b".repeat(4)}`));
  expect(tail).toMatch(/^a+\. Two b+$/);
  expect(tail.length).toBeGreaterThanOrEqual(2000);
  expect(tailOf("a".repeat(TAIL_SOURCE_CHARACTERS))).toHaveLength(TAIL_SOURCE_CHARACTERS);
});
