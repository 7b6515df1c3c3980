import { expect, test } from "vitest";
import { JobKind } from "../../src/db/generated/client/enums.ts";
import { InvalidJobKindError } from "../../src/errors.ts";
import { parseJobKind } from "../../src/jobs/kind.ts";

const WORDS = [
  ["doc_edit", "DOC_EDIT"],
  ["sheet_transform", "SHEET_TRANSFORM"],
  ["canvas_cluster", "CANVAS_CLUSTER"],
  ["asr_transcribe", "ASR_TRANSCRIBE"],
  ["workflow_run", "WORKFLOW_RUN"],
  ["doc_summarize", "DOC_SUMMARIZE"],
  ["terminal_exec", "TERMINAL_EXEC"],
] as const;

test("every kind is in this table", () => {
  expect(WORDS.map(([, kind]) => kind).toSorted()).toEqual(Object.values(JobKind).toSorted());
});

test.each(WORDS)("%s is %s", (word, kind) => {
  expect(parseJobKind(word)).toBe(kind);
});

test("term_exec is a legacy alias of terminal_exec", () => {
  expect(parseJobKind("term_exec")).toBe("TERMINAL_EXEC");
});

test.each(["", " doc_edit", "DOC_EDIT", "Doc_Edit", "docedit", "__proto__", "constructor", "doc_edit\0", "unknown"])(
  "%j is refused, with the accepted words",
  (word) => {
    expect(() => parseJobKind(word)).toThrow(InvalidJobKindError);
    expect(() => parseJobKind(word)).toThrow(expect.objectContaining({ code: "INVALID_JOB_KIND" }));
    expect(() => parseJobKind(word)).toThrow(/Accepted: doc_edit, .*terminal_exec, term_exec\./);
  },
);
