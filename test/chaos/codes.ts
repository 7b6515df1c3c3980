import type { ReportInput, ReportKind } from "./entries.ts";

/** What the codes mean by which reports are refused. */

/** Codes that a worker that does nothing wrong can get: others ended its job, or its own report did. */
const EXPECTED_CODES = [
  "LEASE_LOST",
  "ILLEGAL_TRANSITION",
  "JOB_POISONED",
  "BUDGET_EXCEEDED",
  "ACCESS_MODE_VIOLATION",
] as const;

/**
 * Whether a worker that does nothing wrong can get this code.
 * @param wallMs when the answer came.
 */
export function isExpected(kind: ReportKind, code: string | null, input: ReportInput, wallMs: number): boolean {
  if (code === null) return true;
  // Its usage was counted with the report that had the same id: that one was kept, though the worker did not hear so.
  if (kind === "usage") return code === "INVALID_INPUT";
  // It came so late that the time limit of its question was over.
  const { expiresAt } = input;
  if (code === "INVALID_INPUT" && typeof expiresAt === "string") return Date.parse(expiresAt) <= wallMs;
  return isOfEnd(code);
}

/** Whether a code says that the run was over, or ended with the report. */
export function isOfEnd(code: string): boolean {
  return EXPECTED_CODES.some((expected) => expected === code);
}

/** Whether a report that was refused with this code was lost with its usage. */
export function isLostWith(code: string | null | undefined): boolean {
  return code === "LEASE_LOST" || code === "ILLEGAL_TRANSITION" || code === "JOB_POISONED";
}
