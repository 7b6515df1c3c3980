import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CannotBeDone, type JobKind } from "@ai-job-server/sdk/worker";
import { z } from "zod";

/** The job inputs that this worker accepts: the name of a document, and optionally its text. */
export const documentInputs = z.object({
  // A name, not a path: a client must not choose which folder of the worker is read.
  documentName: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u),
  text: z.string().optional(),
});

export type DocumentInputs = z.infer<typeof documentInputs>;

/** The kinds of the jobs that this worker does. */
export const KINDS = [
  "DOC_EDIT",
  "DOC_SUMMARIZE",
  "SHEET_TRANSFORM",
  "CANVAS_CLUSTER",
  "ASR_TRANSCRIBE",
  "WORKFLOW_RUN",
  "TERMINAL_EXEC",
] as const satisfies readonly JobKind[];

/** How a document is read: only a terminal_exec job may run a command. */
export function meansOf(kind: JobKind): "file" | "command" {
  return kind === "TERMINAL_EXEC" ? "command" : "file";
}

/**
 * Reads the text of a document.
 * @throws CannotBeDone if there is no such document, or it is not UTF-8.
 */
export async function readDocument(folder: string, name: string, means: "file" | "command"): Promise<string> {
  const path = join(folder, name);
  try {
    const bytes = means === "file" ? await readFile(path) : await printedBy(path);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CannotBeDone(`The document ${name} cannot be read as text.`, { cause: error });
  }
}

/** Does what `cat` does, on every system. */
async function printedBy(path: string): Promise<Buffer> {
  const script = "process.stdout.write(require('node:fs').readFileSync(process.argv[1]))";
  const options = { encoding: "buffer", maxBuffer: 16_000_000 } as const;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", script, path], options);
  return stdout;
}
