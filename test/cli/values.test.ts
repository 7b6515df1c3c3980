import { InvalidArgumentError } from "commander";
import { expect, test } from "vitest";
import {
  parseExpiry,
  parseId,
  parseKinds,
  parseName,
  parseOverlap,
  parseRoles,
  parseUrl,
} from "../../src/cli/values.ts";

test("roles and kinds may be in either case, separated by commas, and repeated", () => {
  expect(parseRoles("viewer, WORKER", ["ADMIN", "VIEWER"])).toEqual(["ADMIN", "VIEWER", "WORKER"]);
  expect(parseKinds("doc_edit,DOC_SUMMARIZE,term_exec")).toEqual(["DOC_EDIT", "DOC_SUMMARIZE", "TERMINAL_EXEC"]);
});

test("a time is one with its zone, or a while from now", () => {
  expect(parseExpiry("2027-01-31T12:00:00+02:00").toISOString()).toBe("2027-01-31T10:00:00.000Z");
  const seconds = ["90s", "30m", "12h", "30d"].map((text) => (parseExpiry(text).getTime() - Date.now()) / 1000);
  expect(seconds.map((each) => Math.round(each / 10) * 10)).toEqual([90, 1_800, 43_200, 2_592_000]);
});

test("an overlap is a while, of at most a week", () => {
  expect(["0s", "90m", "7d"].map(parseOverlap)).toEqual([0, 5_400, 604_800]);
});

test("an id is in lower case", () => {
  expect(parseId("01A227BE-B5AE-7FA5-800E-0E7B9FFBE1E2")).toBe("01a227be-b5ae-7fa5-800e-0e7b9ffbe1e2");
});

test.each([
  [parseRoles, "KING"],
  [parseRoles, ""],
  [parseKinds, "doc_eat"],
  [parseExpiry, "tomorrow"],
  [parseExpiry, "2027-01-31"],
  [parseExpiry, "2027-01-31T12:00:00"],
  [parseOverlap, "8d"],
  [parseOverlap, "60"],
  [parseOverlap, "-1s"],
  [parseId, "everything"],
  [parseName, ""],
  [parseName, "n".repeat(201)],
  [parseUrl, "nowhere"],
  [parseUrl, "file:///etc/passwd"],
])("%o refuses %j", (parse, text) => {
  expect(() => parse(text)).toThrow(InvalidArgumentError);
});
