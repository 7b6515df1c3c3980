import fc from "fast-check";
import { expect, test } from "vitest";
import { formsFor } from "../../../src/security/guards/patterns.ts";
import { scanText } from "../../../src/security/guards/scan-text.ts";
import { benignTexts } from "./benign-texts.ts";
import { disguises } from "./disguised-overrides.ts";

const forms = formsFor([]);

/** The characters that a scan looked at, in all forms and readings of a text. */
function workOf(text: string): number {
  const scan = scanText({ sourceId: null, path: "text", text }, forms);
  let work = 0;
  for (let step = scan.next(); ; step = scan.next()) {
    if (step.done === true) return work;
    work += step.value;
  }
}

const markup = [
  "<b>",
  "</b>",
  "<!--",
  "-->",
  "](",
  "&amp;",
  "&#65;",
  "%41",
  "=41",
  "=\n",
  "\\u0041",
  "\n\n",
  "# ",
  '"',
  "{",
  "}",
  "\u200b",
];
const encodings = [
  (text: string) => Buffer.from(text).toString("base64"),
  (text: string) => Buffer.from(text).toString("hex"),
  ...disguises.map(({ disguise }) => disguise),
];
const pieces = fc.oneof(
  fc.constantFrom(...Object.values(benignTexts).flat()),
  fc.constantFrom(...markup),
  fc.string(),
  fc.string({ unit: "binary" }),
);
const hostile = fc
  .tuple(fc.array(pieces, { minLength: 1, maxLength: 20 }), fc.array(fc.constantFrom(...encodings), { maxLength: 4 }))
  .map(([parts, disguisesOf]) => disguisesOf.reduce((text, encode) => encode(text), parts.join(" ")));

// Five for the forms and the text itself, four readings of the text, and as many of what is decoded, which is at most four times
// as long as the text.
const mostPerCharacter = 5 + 4 + 4 * 5;

test("the work of a scan is linear in the text, whatever the text", () => {
  fc.assert(
    fc.property(hostile, (text) => {
      expect(workOf(text)).toBeLessThanOrEqual(mostPerCharacter * text.length);
    }),
    { numRuns: 300 },
  );
});

test("ten times the text is ten times the work, but for the parts around its ends", () => {
  fc.assert(
    fc.property(hostile, (text) => {
      const once = workOf(`${text}\n\n`.repeat(10));
      expect(workOf(`${text}\n\n`.repeat(100))).toBeLessThanOrEqual(10 * once + 20_000);
    }),
    { numRuns: 100 },
  );
});
