import type { JobKind } from "../db/generated/client/enums.ts";

/** What each kind needs, and the profile that it gets where the client names none (section 8). */
const NEEDS = {
  DOC_EDIT: { capability: "doc.summarize", profile: "default" },
  SHEET_TRANSFORM: { capability: "doc.summarize", profile: "default" },
  CANVAS_CLUSTER: { capability: "doc.summarize", profile: "default" },
  ASR_TRANSCRIBE: { capability: "doc.summarize", profile: "default" },
  WORKFLOW_RUN: { capability: "doc.summarize", profile: "default" },
  DOC_SUMMARIZE: { capability: "doc.summarize", profile: "default" },
  TERMINAL_EXEC: { capability: "term.exec", profile: "terminal" },
} as const satisfies Record<JobKind, { capability: string; profile: string }>;

/** The profile that a kind's jobs get where the client asks for none. */
export function defaultProfileOf(kind: JobKind): string {
  return NEEDS[kind].profile;
}

/** Capabilities that have scopes: `fs.read` is one, and `fs.read:/docs` a scope of it (section 8). */
const AXES: ReadonlySet<string> = new Set(["fs.read", "fs.write", "proc.exec", "net.http", "device", "secrets.use"]);

/** Whether who has one capability may do what asks for another: for the same one, or for a scope of an axis that it is. */
export function grants(held: string, needed: string): boolean {
  return held === needed || (AXES.has(held) && needed.startsWith(`${held}:`));
}

export type CapabilityCheck =
  | { readonly granted: true; readonly capability: string }
  | { readonly granted: false; readonly capability: string };

/** Whether capabilities suffice for a kind. The server decides this; what a client asks for is only a name. */
export function checkCapability(kind: JobKind, capabilities: readonly string[]): CapabilityCheck {
  const { capability } = NEEDS[kind];
  return { granted: capabilities.some((held) => grants(held, capability)), capability };
}
