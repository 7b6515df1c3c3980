import { expect, test } from "vitest";
import { checkCapability, defaultProfileOf } from "../../src/capabilities/registry.ts";
import { JobKind } from "../../src/storage/generated/client/enums.ts";

/** Section 8. */
const NEEDS = [
  ["DOC_EDIT", "doc.summarize", "default"],
  ["SHEET_TRANSFORM", "doc.summarize", "default"],
  ["CANVAS_CLUSTER", "doc.summarize", "default"],
  ["ASR_TRANSCRIBE", "doc.summarize", "default"],
  ["WORKFLOW_RUN", "doc.summarize", "default"],
  ["DOC_SUMMARIZE", "doc.summarize", "default"],
  ["TERMINAL_EXEC", "term.exec", "terminal"],
] as const;

test("every kind is in this table", () => {
  expect(NEEDS.map(([kind]) => kind).toSorted()).toEqual(Object.values(JobKind).toSorted());
});

test.each(NEEDS)("%s needs %s, and gets the profile %s", (kind, capability, profile) => {
  expect(defaultProfileOf(kind)).toBe(profile);
  expect(checkCapability(kind, [capability])).toEqual({ granted: true, capability });
  expect(checkCapability(kind, ["doc.read", capability, "fs.read"])).toEqual({ granted: true, capability });
});

test.each([
  ["none", []],
  ["another", ["doc.read"]],
  ["one that only begins alike", ["doc.summarize.all", "term.execute"]],
  ["one that ends alike", ["x.doc.summarize", "x.term.exec"]],
  ["an axis with a scope", ["proc.exec:*", "fs.read:/"]],
  ["one in another case", ["DOC.SUMMARIZE", "TERM.EXEC"]],
  ["all", ["*"]],
])("a profile that grants %s suffices for no kind", (_, capabilities) => {
  for (const [kind, capability] of NEEDS) {
    expect(checkCapability(kind, capabilities)).toEqual({ granted: false, capability });
  }
});
