import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { z } from "zod";
import type { JobKind } from "../../test/generated/graphql.ts";
import { Impossible } from "./answers.ts";

/** The inputs of a job that this worker can do: the name of a document, and its text where the client pasted it in. */
const jobInputs = z.object({
  // A name and no path: whoever submits a job does not choose which folder of the worker is read.
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

/** How a document is read in a job of each kind: a terminal_exec job may run commands, the others may not. */
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
 * The text of a document.
 * @throws Impossible where there is none of this name, or it is not UTF-8.
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

/** What `cat` prints, on every system. */
async function printedBy(path: string): Promise<Buffer> {
  const script = "process.stdout.write(require('node:fs').readFileSync(process.argv[1]))";
  const options = { encoding: "buffer", maxBuffer: 16_000_000 } as const;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", script, path], options);
  return stdout;
}
