import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { JobKind } from "../../test/generated/graphql.ts";
import { Impossible } from "./answers.ts";

/** The job inputs that this worker accepts: the name of a document, and optionally its text. */
const jobInputs = z.object({
  // A name, not a path: a client must not choose which folder of the worker is read.
  documentName: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u),
  text: z.string().optional(),
});

export type DocumentInputs = z.infer<typeof jobInputs>;

/** @throws Impossible */
export function inputsOf(value: unknown): DocumentInputs {
  const parsed = jobInputs.safeParse(value);
  if (!parsed.success) throw new Impossible("The job's inputs name no document.");
  return parsed.data;
}

/** How a document is read, by job kind: only a terminal_exec job may run a command. */
const MEANS = {
  DOC_EDIT: "file",
  DOC_SUMMARIZE: "file",
  SHEET_TRANSFORM: "file",
  CANVAS_CLUSTER: "file",
  ASR_TRANSCRIBE: "file",
  WORKFLOW_RUN: "file",
  TERMINAL_EXEC: "command",
} as const satisfies Record<JobKind, "file" | "command">;

export function meansOf(kind: JobKind): "file" | "command" {
  return MEANS[kind];
}

/**
 * Reads the text of a document.
 * @throws Impossible if there is no such document, or it is not UTF-8.
 */
export async function readDocument(folder: string, name: string, means: "file" | "command"): Promise<string> {
  const path = join(folder, name);
  try {
    const bytes = means === "file" ? await readFile(path) : await printedBy(path);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Impossible(`The document ${name} cannot be read as text.`, { cause: error });
  }
}

/** Does what `cat` does, on every system. */
async function printedBy(path: string): Promise<Buffer> {
  const script = "process.stdout.write(require('node:fs').readFileSync(process.argv[1]))";
  const options = { encoding: "buffer", maxBuffer: 16_000_000 } as const;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", script, path], options);
  return stdout;
}
