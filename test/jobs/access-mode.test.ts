import { expect, test } from "vitest";
import { checkWrites } from "../../src/jobs/access-mode.ts";

const doc = { entityKind: "document", entityId: "d1" };

test.each(["ANALYSIS_ONLY", "PREVIEW_ONLY"] as const)("a job that is %s writes no entity", (accessMode) => {
  const job = { accessMode, entityRefs: [doc] };
  expect(checkWrites(job, [])).toBeNull();
  expect(checkWrites(job, [doc])).toContain(accessMode);
});

test.each([
  ["the entity itself", [doc], doc, true],
  ["a part of an entity that is wholly in scope", [doc], { ...doc, selector: "p1" }, true],
  ["the very part that is in scope", [{ ...doc, selector: "p1" }], { ...doc, selector: "p1" }, true],
  ["another part", [{ ...doc, selector: "p1" }], { ...doc, selector: "p2" }, false],
  ["the whole of an entity of which a part is in scope", [{ ...doc, selector: "p1" }], doc, false],
  ["another entity", [doc], { ...doc, entityId: "d2" }, false],
  ["another kind of the same id", [doc], { ...doc, entityKind: "sheet" }, false],
  ["anything, where nothing is in scope", [], doc, false],
])("an APPLY_SCOPED job writes %s", (_what, entityRefs, written, allowed) => {
  expect(checkWrites({ accessMode: "APPLY_SCOPED", entityRefs }, [written]) === null).toBe(allowed);
});

test("an APPLY_SCOPED job with nothing in scope writes no entity, named or only counted", () => {
  const job = { accessMode: "APPLY_SCOPED" as const, entityRefs: [] };
  expect(checkWrites(job, [], 0)).toBeNull();
  expect(checkWrites(job, [], 5)).toBe("The job's entityRefs are empty: it writes no entity.");
});

test("what an APPLY_SCOPED job wrote may be counted in one report and named in another", () => {
  expect(checkWrites({ accessMode: "APPLY_SCOPED", entityRefs: [doc] }, [], 5)).toBeNull();
});

test("one entity out of scope is enough to refuse", () => {
  const job = { accessMode: "APPLY_SCOPED" as const, entityRefs: [doc] };
  expect(checkWrites(job, [doc, { ...doc, entityId: "d2" }])).toBe("document d2 is not in the job's entityRefs.");
});
