import { expect, test } from "vitest";
import { rowText } from "../../console/src/jobs/row-text.ts";

/** What a row of the list says beside the state of its job. */

const JOB = { progress: null, errorMessage: null, statusReason: "", userInputRequest: null };
const at = "2026-12-01T00:00:00Z";

test("a job that runs says how far it is, though its state and its reason are the same word", () => {
  const progress = { fraction: null, message: "page 3 of 9", at };
  expect(rowText({ ...JOB, state: "RUNNING", statusReason: "running", progress })).toBe("page 3 of 9");
});

test("a job that failed says why, in its worker's words if there are any", () => {
  const failed = { ...JOB, state: "FAILED", statusReason: "failed" } as const;
  expect(rowText({ ...failed, errorMessage: "The file is no table." })).toBe("The file is no table.");
  expect(rowText({ ...failed, statusReason: "lease_expired" })).toBe("Lease expired");
});

test("a job that is poisoned says by what, and a cancelled one does not repeat its state", () => {
  expect(rowText({ ...JOB, state: "POISONED", statusReason: "poisoned: data_leak" })).toBe("Poisoned: data_leak");
  expect(rowText({ ...JOB, state: "CANCELLED", statusReason: "cancelled" })).toBe("");
});
