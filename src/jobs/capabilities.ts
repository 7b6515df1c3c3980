import type { JobKind } from "../db/generated/client/enums.ts";

/**
 * The capability that each kind needs (section 8). Which profile a kind gets where a submit names none is not said here:
 * the database says it, in `capability_profiles.job_kinds`, which is also what the API shows.
 */
const REQUIRED_CAPABILITY = {
  DOC_EDIT: "doc.summarize",
  SHEET_TRANSFORM: "doc.summarize",
  CANVAS_CLUSTER: "doc.summarize",
  ASR_TRANSCRIBE: "doc.summarize",
  WORKFLOW_RUN: "doc.summarize",
  DOC_SUMMARIZE: "doc.summarize",
  TERMINAL_EXEC: "term.exec",
} as const satisfies Record<JobKind, string>;

/** Capabilities that have scopes: `fs.read` is one, and `fs.read:/docs` a scope of it (section 8). */
const CAPABILITY_AXES: ReadonlySet<string> = new Set([
  "fs.read",
  "fs.write",
  "proc.exec",
  "net.http",
  "device",
  "secrets.use",
]);

/** Whether who has one capability may do what asks for another: for the same one, or for a scope of an axis that it is. */
export function grants(granted: string, needed: string): boolean {
  return granted === needed || (CAPABILITY_AXES.has(granted) && needed.startsWith(`${granted}:`));
}

export type CapabilityCheck =
  | { readonly granted: true; readonly capability: string }
  | { readonly granted: false; readonly capability: string };

/** Whether capabilities suffice for a kind. The server decides this; what a client asks for is only a name. */
export function checkCapability(kind: JobKind, capabilities: readonly string[]): CapabilityCheck {
  const capability = REQUIRED_CAPABILITY[kind];
  return { granted: capabilities.some((held) => grants(held, capability)), capability };
}
