import { existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { z } from "zod";

/**
 * What a worker knows, kept beyond its own death: one line for each thing, written before it goes on. A write that the
 * system has taken survives SIGKILL of the process.
 */

const KINDS = ["heartbeat", "advance", "complete", "fail"] as const;
export type ReportKind = (typeof KINDS)[number];

/** A report as it is sent, in the words of the API. */
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
  /** Before a report is sent for the first time. */
  z.object({ type: z.literal("intends"), kind: z.enum(KINDS), input: inputSchema }),
  /** Before each time that it is sent. */
  z.object({ type: z.literal("sends"), reportIds: z.array(z.string()) }),
  z.object({
    type: z.literal("hears"),
    reportId: z.string(),
    /** Null where the report was accepted. */
    code: z.string().nullable(),
    leaseExpiresAt: z.string().nullable(),
  }),
  /** Something that never happens to a worker that follows the documentation. */
  z.object({ type: z.literal("wonders"), about: z.string() }),
]);
export type Entry = z.infer<typeof entrySchema>;

export class Journal {
  readonly #file: number;

  constructor(path: string) {
    // A line that death cut short stays alone on its line.
    const torn = existsSync(path) && !/(^|\n)$/.test(readFileSync(path, "utf8"));
    this.#file = openSync(path, "a");
    if (torn) writeSync(this.#file, "\n");
  }

  write(entry: Entry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
  }
}

export function readJournal(path: string): readonly Entry[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8").split("\n").flatMap(parse);
}

/** Nothing for a line that its writer's death cut short: what it was about was then not done either. */
function parse(line: string): Entry[] {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return [];
  }
  return [entrySchema.parse(value)];
}

/** Reports of which nobody knows what came of them. */
export function unheardOf(entries: readonly Entry[]): readonly { kind: ReportKind; input: ReportInput }[] {
  const received = new Set(entries.flatMap((entry) => (entry.type === "hears" ? [entry.reportId] : [])));
  return entries.flatMap((entry) => (entry.type === "intends" && !received.has(entry.input.reportId) ? [entry] : []));
}
