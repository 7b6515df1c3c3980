import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of the documents. */
export const DOCUMENTS_FOLDER = fileURLToPath(new URL("../documents/", import.meta.url));

export interface DemoDocument {
  readonly name: string;
  /** The state in which a job on it must end; a hostile document poisons its job. */
  readonly expected: "COMPLETED" | "POISONED";
  /** Whether the job's inputs have the whole text; otherwise they name the document, and the worker reads it. */
  readonly isPasted: boolean;
}

export const DOCUMENTS: readonly DemoDocument[] = [
  { name: "us-constitution.txt", expected: "COMPLETED", isPasted: false },
  { name: "platform-team-minutes.md", expected: "COMPLETED", isPasted: false },
  { name: "tidewatch-readme.md", expected: "COMPLETED", isPasted: false },
  { name: "letter-to-the-landlord.txt", expected: "COMPLETED", isPasted: true },
  { name: "eigentuemer-protokoll.de.txt", expected: "COMPLETED", isPasted: false },
  { name: "toshokan-oshirase.ja.txt", expected: "COMPLETED", isPasted: false },
  { name: "taqrir-almiyah.ar.txt", expected: "COMPLETED", isPasted: false },
  // Describes attacks without quoting one.
  { name: "security-training.md", expected: "COMPLETED", isPasted: false },
  // An instruction to the screening software, in plain words far to the right of the page.
  { name: "cv-backend-engineer.txt", expected: "POISONED", isPasted: false },
  // The same instruction in Cyrillic and Greek look-alikes, with invisible characters in between.
  { name: "invoice-reminder.eml", expected: "POISONED", isPasted: false },
  { name: "support-ticket.txt", expected: "POISONED", isPasted: true },
];

/** All documents with their texts. */
export function readDocuments(): Promise<readonly (DemoDocument & { readonly text: string })[]> {
  const read = (name: string) => readFile(join(DOCUMENTS_FOLDER, name), "utf8");
  return Promise.all(DOCUMENTS.map(async (document) => ({ ...document, text: await read(document.name) })));
}
