import { expect, test } from "vitest";
import { blocksOf, filesBelow, readText } from "../support/documents.ts";
import { follow } from "./quick-start.ts";

/** The quick starts, as they stand; those of pages and of Python are followed where there is a browser, and Python. */

/** npm and a machine that is busy with other tests take their time. */
const LONG = { timeout: 300_000 };

test.each(filesBelow("docs/quick-start", ".md"))("%s has at most 60 lines", (file) => {
  expect(readText(file).trimEnd().split("\n").length).toBeLessThanOrEqual(60);
});

test.each([
  ["typescript", "ts", 20],
  ["python", "python", 25],
])("a whole worker in %s, as %s, has at most %i lines of code, its pretended model aside", (name, language, most) => {
  const [code = ""] = blocksOf(readText(`docs/quick-start/worker-${name}.md`))
    .filter(({ info }) => info.startsWith(`${language} `))
    .map(({ text }) => text);
  expect(code.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(most);
});

test("a worker in TypeScript", LONG, async () => {
  const { code, stdout, stderr } = await follow("worker-typescript");
  expect({ code, said: code === 0 ? "" : stderr }).toEqual({ code: 0, said: "" });
  expect(stdout).toMatch(/AWAITING_USER .*Go on with “Plan a summary: done.”\?/);
  expect(stdout).toMatch(/COMPLETED/);
  expect(stdout).toContain("RUNNING → COMPLETED");
});

test("run it for a team", LONG, async () => {
  const { code, stdout, stderr } = await follow("operator");
  expect({ code, said: code === 0 ? "" : stderr }).toEqual({ code: 0, said: "" });
  expect(stdout).toMatch(/configuration +ok/);
  expect(stdout).toMatch(/the workers .*WORKER/);
  expect(stdout).toMatch(/You are operator, in Team A/);
  for (const state of ["FAILED", "POISONED", "AWAITING_USER"]) expect(stdout).toMatch(new RegExp(`${state} +(?!\\d)`));
  expect(stdout).toMatch(/DOC_SUMMARIZE +\d/);
});
