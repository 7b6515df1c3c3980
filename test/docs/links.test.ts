import { existsSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";
import { anchorsOf, DOCUMENTS, filesBelow, readText, sectionOf, withoutBlocks } from "../support/documents.ts";

/** Nothing that a document or a comment points to is missing. */

const links = DOCUMENTS.flatMap((from) =>
  [...withoutBlocks(readText(from)).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => ({ from, target }))
    .filter(({ target }) => !/^[a-z]+:/.test(target)),
);

test("there are links to check", () => {
  expect(links.length).toBeGreaterThan(30);
});

test.each(links)("$from: the link to $target leads somewhere", ({ from, target }) => {
  const [path = "", anchor = ""] = target.split("#");
  const to = path === "" ? from : posix.join(posix.dirname(from), path);
  expect(existsSync(new URL(`../../${to}`, import.meta.url)), `${to} is missing`).toBe(true);
  expect(anchor === "" || anchorsOf(readText(to)).has(anchor), `${to} has no heading for #${anchor}`).toBe(true);
});

const MODEL = readText("docs/ai-job-model.md");
const sections = new Set([...MODEL.matchAll(/^## (\d+)\. /gm)].map(([, number]) => Number(number)));

test("the model has the sections 1 to 14, in their order", () => {
  expect([...sections]).toEqual(Array.from({ length: 14 }, (_, index) => index + 1));
});

/** "section 4", "sections 3 and 4", "sections 11 to 14". */
const REFERENCE = /\bsections?\s+(\d+)(?:\s*(?:,|and|to)\s*(\d+))?/gi;

test("every section that a comment, a message or a document names is in the model", () => {
  const files = [
    ...filesBelow("src", ".ts"),
    ...filesBelow("test", ".ts", ".graphql"),
    ...filesBelow("prisma", ".sql", ".prisma"),
    ...filesBelow("docs", ".md"),
    "schema.graphql",
    "README.md",
  ];
  const named = files.flatMap((file) =>
    [...readText(file).matchAll(REFERENCE)].flatMap(([, first, second]) =>
      [first, second].filter((number) => number !== undefined).map((number) => ({ file, section: Number(number) })),
    ),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ section }) => !sections.has(section))).toEqual([]);
});

test("every document is in the README's table of where to go on, or in a document that is", () => {
  const table = sectionOf(readText("README.md"), "## Where to go on");
  expect(filesBelow("docs", ".md").filter((path) => !table.includes(`(${path})`))).toEqual([]);
});
