import type { JobKind } from "@ai-job-server/sdk/client";

const WORDS = {
  DOC_SUMMARIZE: "Summarize a document",
  DOC_EDIT: "Edit a document",
  SHEET_TRANSFORM: "Transform a sheet",
  CANVAS_CLUSTER: "Cluster a canvas",
  TERMINAL_EXEC: "Run a command",
  ASR_TRANSCRIBE: "Transcribe speech",
  WORKFLOW_RUN: "Run a workflow",
} as const satisfies Record<JobKind, string>;

export const KINDS = [
  "DOC_SUMMARIZE",
  "DOC_EDIT",
  "SHEET_TRANSFORM",
  "CANVAS_CLUSTER",
  "TERMINAL_EXEC",
  "ASR_TRANSCRIBE",
  "WORKFLOW_RUN",
] as const satisfies readonly JobKind[];

/** @returns the kind's name for people. */
export function kindWord(kind: JobKind): string {
  return WORDS[kind];
}
