import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BOUNDARY, KEY, withBoundaries } from "../../../src/security/guards/boundaries.ts";

/** With signs for the characters that do not show. */
const shown = (text: string, isKey = false): string =>
  withBoundaries({ text, isKey }).replaceAll(BOUNDARY, "|").replaceAll(KEY, "key:");

describe("a boundary", () => {
  test.each([
    ["a\nb", "a\nb"],
    ["a\r\nb", "a\r\nb"],
    ["a\n\nb", "a|b"],
    ["a\r\n\r\nb", "a|b"],
    ["a\r\rb", "a|b"],
    ["a\n \t\n\n b", "a| b"],
    ["a\u2028\u2028b\fc\u2029d", "a|b|c|d"],
    ["# a\nb", "|# a|\nb"],
    ["a\n## b\nc", "a\n|## b|\nc"],
    ["a\n---\nb", "a\n|\nb"],
    ["#a", "#a"],
    ["a -- b", "a -- b"],
  ])("in %j: %j", (text, bounded) => {
    expect(shown(text)).toBe(bounded);
  });

  test.each([
    ['{"a": "b", "c": ["d", 1, {"e": null}]}', "key:a||b|key:c||d|key:e|"],
    ['{"a": "first", "a": "last"}', "key:a||first|key:a||last"],
    ['["\\u0061\\nb", "\\"c\\\\"]', 'a\nb|"c\\'],
    ['{"a": "[\\"b\\"]"}', "key:a||b"],
    ["[1, 2]", ""],
    ['{"a": b}', '{"a": b}'],
  ])("stands around each key and value of %j: %j", (text, bounded) => {
    expect(shown(text)).toBe(bounded);
  });

  test("is around a key", () => {
    expect(shown("developer mode", true)).toBe("key:developer mode|");
  });

  test("of the text's own is none", () => {
    expect(withBoundaries({ text: `a${BOUNDARY}b${KEY}c` })).toBe("a\u200bb\u200bc");
  });

  test("takes no letter away, whatever the JSON document", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const texts: string[] = [];
        const value: unknown = JSON.parse(json, (key, each: unknown) => {
          texts.push(key, typeof each === "string" ? each : "");
          return each;
        });
        fc.pre(typeof value === "object" && value !== null);
        const bounded = withBoundaries({ text: json });
        for (const text of texts)
          for (const letters of text.match(/[a-z]+/gi) ?? []) expect(bounded).toContain(letters);
      }),
    );
  });
});
