import { expect, test } from "vitest";
import { JobKind } from "../../src/db/generated/client/enums.ts";
import { checkCapability, grants } from "../../src/jobs/capabilities.ts";

/** Section 8. */
const NEEDS = [
  ["DOC_EDIT", "doc.summarize"],
  ["SHEET_TRANSFORM", "doc.summarize"],
  ["CANVAS_CLUSTER", "doc.summarize"],
  ["ASR_TRANSCRIBE", "doc.summarize"],
  ["WORKFLOW_RUN", "doc.summarize"],
  ["DOC_SUMMARIZE", "doc.summarize"],
  ["TERMINAL_EXEC", "term.exec"],
] as const;

test("every kind is in this table", () => {
  expect(NEEDS.map(([kind]) => kind).toSorted()).toEqual(Object.values(JobKind).toSorted());
});

test.each(NEEDS)("%s needs %s", (kind, capability) => {
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

const AXES = ["fs.read", "fs.write", "proc.exec", "net.http", "device", "secrets.use"];

test.each(AXES)("%s grants itself and each of its scopes, and nothing else", (axis) => {
  expect(grants(axis, axis)).toBe(true);
  expect(grants(axis, `${axis}:/docs/a:b`)).toBe(true);
  for (const needed of [`${axis}s:/docs`, `${axis}.more`, axis.slice(0, -1), ...AXES.filter((it) => it !== axis)]) {
    expect(grants(axis, needed)).toBe(false);
  }
});

test("a scope grants itself alone, and an id has no scopes", () => {
  expect(grants("fs.read:/docs", "fs.read:/docs")).toBe(true);
  expect(grants("fs.read:/docs", "fs.read")).toBe(false);
  expect(grants("fs.read:/docs", "fs.read:/docs/secret")).toBe(false);
  expect(grants("doc.read", "doc.read:chapter-1")).toBe(false);
});
