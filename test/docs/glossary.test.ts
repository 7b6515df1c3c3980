import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { codesIn, readText, rowsOf } from "../support/documents.ts";

/** docs/glossary.md: one word, one meaning, found where the alphabet has it. */

const rows = rowsOf(readText("docs/glossary.md"));
const terms = rows.flatMap(([term = ""]) => term.split(", "));

test("every term stands there once", () => {
  expect(terms.length).toBeGreaterThan(50);
  expect(terms.filter((term, at) => terms.indexOf(term) !== at)).toEqual([]);
});

test("the terms are in the order of the alphabet", () => {
  const first = rows.map(([term = ""]) => term);
  expect(first).toEqual(first.toSorted((a, b) => a.localeCompare(b, "en")));
});

test("every folder and file that it names is there", () => {
  const paths = rows.flatMap(([, , where = ""]) => codesIn(where));
  expect(paths.length).toBeGreaterThan(3);
  expect(paths.filter((path) => !existsSync(new URL(`../../${path}`, import.meta.url)))).toEqual([]);
});
