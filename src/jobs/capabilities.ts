import type { JobKind } from "../db/generated/client/enums.ts";

/**
 * The capability that each kind needs (section 8). The default profile of a kind is not defined here but in the database, in
 * `capability_profiles.job_kinds`, which the API also shows.
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

/** The capabilities that have scopes: `fs.read` is an axis, and `fs.read:/docs` one of its scopes (section 8). */
const CAPABILITY_AXES: ReadonlySet<string> = new Set([
  "fs.read",
  "fs.write",
  "proc.exec",
  "net.http",
  "device",
  "secrets.use",
]);

/** Whether a granted capability covers a needed one: because they are the same, or an axis and one of its scopes. */
export function grants(granted: string, needed: string): boolean {
  return granted === needed || (CAPABILITY_AXES.has(granted) && needed.startsWith(`${granted}:`));
}

/** Whether a capability was granted, and which one it is: on a denial, the missing one. */
export type CapabilityCheck =
  | { readonly granted: true; readonly capability: string }
  | { readonly granted: false; readonly capability: string };

/** Decides whether a profile's capabilities suffice for a kind of job (section 8). A client only names a profile. */
export function checkCapability(kind: JobKind, capabilities: readonly string[]): CapabilityCheck {
  const capability = REQUIRED_CAPABILITY[kind];
  return { granted: capabilities.some((granted) => grants(granted, capability)), capability };
}
