import { existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { z } from "zod";

/**
 * The journal of a worker, which outlives its process: one line for each entry, written before the worker goes on. What
 * has been written to the file survives a SIGKILL of the process.
 */

const KINDS = ["heartbeat", "advance", "complete", "fail"] as const;
export type ReportKind = (typeof KINDS)[number];

/** A report as it is sent: the fields of the API that the checks need. */
const inputSchema = z.looseObject({
  workflowRunId: z.string(),
  leaseToken: z.string(),
  reportId: z.string(),
  metrics: z.record(z.string(), z.number()),
});
export type ReportInput = z.infer<typeof inputSchema>;

const entrySchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("claimed"),
    workflowRunId: z.string(),
    jobId: z.string(),
    leaseExpiresAt: z.string(),
  }),
  /** Written before a report is sent for the first time. */
  z.object({ type: z.literal("planned"), kind: z.enum(KINDS), input: inputSchema }),
  /** Written each time before reports are sent. */
  z.object({ type: z.literal("sent"), reportIds: z.array(z.string()) }),
  z.object({
    type: z.literal("answered"),
    reportId: z.string(),
    /** The error code; null if the report was accepted. */
    code: z.string().nullable(),
    leaseExpiresAt: z.string().nullable(),
  }),
  /** An answer that a worker that follows the documentation should never get. */
  z.object({ type: z.literal("unexpected"), message: z.string() }),
]);
export type Entry = z.infer<typeof entrySchema>;

export class Journal {
  readonly #file: number;

  constructor(path: string) {
    // If the process was killed while it wrote a line, that line is incomplete: the next entry must begin a new one.
    const endsIncomplete = existsSync(path) && !/(^|\n)$/.test(readFileSync(path, "utf8"));
    this.#file = openSync(path, "a");
    if (endsIncomplete) writeSync(this.#file, "\n");
  }

  write(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

export function readJournal(path: string): readonly Entry[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8").split("\n").flatMap(parse);
}

/** The entry of a line; none for an incomplete line, because what it announces was not done. */
function parse(line: string): Entry[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return [];
  }
  return [entrySchema.parse(value)];
}

/** The planned reports that have not been answered. */
export function unansweredReports(entries: readonly Entry[]): readonly { kind: ReportKind; input: ReportInput }[] {
  const answeredIds = new Set(entries.flatMap((entry) => (entry.type === "answered" ? [entry.reportId] : [])));
  return entries.flatMap((entry) =>
    entry.type === "planned" && !answeredIds.has(entry.input.reportId) ? [entry] : [],
  );
}
