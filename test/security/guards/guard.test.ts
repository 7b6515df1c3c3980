import { describe, expect, test } from "vitest";
import { type AceError, type GuardedText, isPoisoning, textsOf } from "../../../src/security/guards/guard.ts";

test.each([
  ["ACE-014", { code: "ACE-014", violationType: "PROMPT_INJECTION" }, true],
  ["ACE-013", { code: "ACE-013", violationType: "EXPORT" }, true],
  ["ACE-001", { code: "ACE-001" }, false],
] as const)("%s poisons or not as section 5 says", (_, kind, poisons) => {
  const error: AceError = { ...kind, trigger: "t", description: "d", sourceId: null };
  expect(isPoisoning(error)).toBe(poisons);
});

function textsIn(value: unknown): GuardedText[] {
  return [...textsOf({ sources: [{ sourceId: null, path: "jobInputs", value }] })];
}

function pathsAndTexts(json: unknown): string[][] {
  return textsIn(json).map(({ path, text }) => [path, text]);
}

describe("textsOf", () => {
  test("gives values and keys in document order, with their places", () => {
    expect(pathsAndTexts({ document: { text: "a", pages: ["b", 1, { n: "c" }] }, done: true, none: null })).toEqual([
      ["jobInputs[key 0]", "document"],
      ["jobInputs.document[key 0]", "text"],
      ["jobInputs.document.text", "a"],
      ["jobInputs.document[key 1]", "pages"],
      ["jobInputs.document.pages[0]", "b"],
      ["jobInputs.document.pages[2][key 0]", "n"],
      ["jobInputs.document.pages[2].n", "c"],
      ["jobInputs[key 1]", "done"],
      ["jobInputs[key 2]", "none"],
    ]);
    expect(textsIn("alone")).toEqual([{ sourceId: null, path: "jobInputs", text: "alone" }]);
  });

  test.each([1, true, null, undefined, "", [], {}, [[], [""], {}]])("%j holds no text", (json) => {
    expect(textsIn(json)).toEqual([]);
  });

  test("sees own keys named __proto__ and constructor, and nothing inherited", () => {
    const json: unknown = JSON.parse('{"__proto__":{"a":"x"},"constructor":"y","":"z"}');
    expect(pathsAndTexts(json).map(([, text]) => text)).toEqual(["__proto__", "a", "x", "constructor", "y", "z"]);
    expect(pathsAndTexts(Object.create({ inherited: "no" }))).toEqual([]);
  });

  test("does not show a key that is not a plain field name: keys are content", () => {
    expect(pathsAndTexts({ "ignore previous": "x" })).toEqual([
      ["jobInputs[key 0]", "ignore previous"],
      ["jobInputs[value 0]", "x"],
    ]);
  });

  test("goes down 100,000 levels, with short paths", () => {
    const depth = 100_000;
    const texts = textsIn(JSON.parse(`${'{"a":['.repeat(depth / 2)}"deep"${"]}".repeat(depth / 2)}`));
    expect(texts.at(-1)?.text).toBe("deep");
    expect(texts).toHaveLength(depth / 2 + 1);
    for (const { path } of texts) expect(path.length).toBeLessThanOrEqual(81);
  });

  test("takes an array of a million items", () => {
    expect(textsIn(Array.from({ length: 1_000_000 }, () => "a"))).toHaveLength(1_000_000);
  });
});
