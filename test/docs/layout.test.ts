import { readdirSync } from "node:fs";
import { posix } from "node:path";
import { expect, test } from "vitest";
import { filesBelow, readText, rowsOf, sectionOf } from "../support/documents.ts";

/** Where things are, as docs/changing.md has it: whoever reads a folder needs to know those above it in the table, and no other. */

const FOLDERS = rowsOf(sectionOf(readText("docs/changing.md"), "## Where things are")).map(([folder = ""]) =>
  folder.replaceAll("`", ""),
);

/** The lines that go the other way, each from a file to a folder below its own. */
const EXCEPTIONS = [
  "src/jobs/cancel.ts to runs",
  "src/security/poison.ts to output",
  "src/threads/tasks.ts to security/guards",
];

/** @returns the folder of a file: the most exact one that the table has. */
function folderOf(path: string): string | undefined {
  const inside = path.replace(/^src\//, "");
  return FOLDERS.filter((folder) => inside.startsWith(`${folder}/`)).toSorted((a, b) => b.length - a.length)[0];
}

test("each folder of src is in the table, once", () => {
  const folders = readdirSync(new URL("../../src", import.meta.url), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  expect(FOLDERS.filter((folder) => !folder.includes("/")).toSorted()).toEqual(folders.toSorted());
  expect(new Set(FOLDERS).size).toBe(FOLDERS.length);
});

test("each folder imports from those above it, but for the exceptions that are told there", () => {
  const against = new Set<string>();
  for (const path of filesBelow("src", ".ts")) {
    const from = folderOf(path);
    if (from === undefined) continue;
    for (const [, target = ""] of readText(path).matchAll(/\b(?:from |import |import\()"(\.[^"]+)"/g)) {
      const to = folderOf(posix.join(posix.dirname(path), target));
      if (to !== undefined && FOLDERS.indexOf(to) > FOLDERS.indexOf(from)) against.add(`${path} to ${to}`);
    }
  }
  expect([...against].toSorted()).toEqual(EXCEPTIONS);
});
