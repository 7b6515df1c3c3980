import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { readText, rowsOf, sectionOf } from "../support/documents.ts";

/** SECURITY.md claims nothing without a test that shows it. That its links lead somewhere is in links.test.ts. */

const attackers = rowsOf(sectionOf(readText("SECURITY.md"), "## Who attacks")).map(([who = "", , , tests = ""]) => ({
  who,
  tests: [...tests.matchAll(/\]\(([^)]+)\)/g)].map(([, path = ""]) => path),
}));

test("there are attackers", () => {
  expect(attackers.length).toBeGreaterThan(10);
});

test.each(attackers)("$who: each test is there", ({ tests }) => {
  expect(tests.length).toBeGreaterThan(0);
  const isTest = (path: string) => path.endsWith(".test.ts") && existsSync(new URL(`../../${path}`, import.meta.url));
  expect(tests.filter((path) => !isTest(path))).toEqual([]);
});
