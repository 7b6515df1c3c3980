import { existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { z } from "zod";

/**
 * The journal of a worker, which outlives its process: one line for each entry, written before the worker goes on. What
 * has been written to the file survives a SIGKILL of the process.
 */

const KINDS = ["heartbeat", "advance", "complete", "fail", "release", "ask", "usage"] as const;
export type ReportKind = (typeof KINDS)[number];

const callSchema = z.looseObject({
  provider: z.string(),
  model: z.string(),
});

/** A report as it is sent: the fields of the API that the checks need. Usage by itself has no metrics. */
const inputSchema = z.looseObject({
  workflowRunId: z.string(),
  leaseToken: z.string(),
  reportId: z.string(),
  metrics: z.looseObject({ usage: z.array(callSchema).optional() }).optional(),
  usage: z.array(callSchema).optional(),
});
export type ReportInput = z.infer<typeof inputSchema>;

/** By the clocks of the process that wrote it: only the wall's means the same to another one. */
const momentSchema = z.object({ steadyMs: z.number(), wallMs: z.number() });

/** What a worker does under the lease of a run, or ceases to do. */
const ofRun = { workflowRunId: z.string(), at: momentSchema };

const entrySchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("claimed"),
    workflowRunId: z.string(),
    jobId: z.string(),
    leaseExpiresAt: z.string(),
    leaseSeconds: z.number(),
    /** When the claim was sent that was answered. */
    sentAt: momentSchema,
    /** What the claim brought. */
    completedNodes: z.array(z.object({ nodeId: z.string(), output: z.object({ receipt: z.string() }) })),
    userAnswers: z.array(z.object({ requestId: z.string(), answer: z.string() })),
    children: z.array(z.object({ jobId: z.string(), state: z.string() })),
  }),
  /** Written before a step is begun. */
  z.object({ type: z.literal("begun"), nodeId: z.string(), ...ofRun }),
  /** Written when something was done outside: the key under which, and the receipt. */
  z.object({ type: z.literal("effect"), workflowRunId: z.string(), key: z.string(), receipt: z.string() }),
  /** Written before an accepted report, or a renewed lease, is counted on. */
  z.object({ type: z.literal("counted"), reportId: z.string(), ...ofRun }),
  /** The worker stopped by its own clock. */
  z.object({ type: z.literal("stopped"), ...ofRun }),
  /** From here on the worker goes by no clock in this run: it makes a mistake. */
  z.object({ type: z.literal("careless"), workflowRunId: z.string() }),
  /** Written before a report is sent for the first time. */
  z.object({ type: z.literal("planned"), kind: z.enum(KINDS), input: inputSchema }),
  /** Written each time before reports are sent. */
  z.object({
    type: z.literal("sent"),
    kind: z.enum(KINDS),
    reportIds: z.array(z.string()),
    at: momentSchema,
    /** Whether nobody counts on them: they are sent to learn, or say, what was used. */
    isLate: z.boolean(),
  }),
  z.object({
    type: z.literal("answered"),
    kind: z.enum(KINDS),
    reportId: z.string(),
    /** When that was sent which was answered. */
    sentAt: momentSchema,
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

export interface PlannedReport {
  readonly kind: ReportKind;
  readonly input: ReportInput;
}

/** What a worker that was killed has left to say: the reports that were not answered, and the usage of those that were refused. */
export function leftToSay(entries: readonly Entry[]): {
  readonly unanswered: readonly PlannedReport[];
  readonly refused: readonly PlannedReport[];
} {
  const planned = entries.filter((entry) => entry.type === "planned");
  const codes = new Map(
    entries.flatMap((e) => (e.type === "answered" ? [[`${e.kind === "usage"} ${e.reportId}`, e.code] as const] : [])),
  );
  const saidAsUsage = new Set(planned.flatMap(({ kind, input }) => (kind === "usage" ? [input.reportId] : [])));
  const codeOfPlanned = ({ kind, input }: PlannedReport) => codes.get(`${kind === "usage"} ${input.reportId}`);
  const isOpen = ({ kind, input }: PlannedReport) => kind === "usage" || !saidAsUsage.has(input.reportId);
  return {
    unanswered: planned.filter((report) => codeOfPlanned(report) === undefined && isOpen(report)),
    refused: planned.filter((report) => isLostWith(codeOfPlanned(report)) && isOpen(report)),
  };
}

/** Whether a report that was refused with this code was lost with its usage. */
export function isLostWith(code: string | null | undefined): boolean {
  return code === "LEASE_LOST" || code === "ILLEGAL_TRANSITION" || code === "JOB_POISONED";
}
