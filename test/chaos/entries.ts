import { z } from "zod";

/** What stands in the journals of workers, as the checks read it. */

/** A renewal is a heartbeat without an id, as the kits send it: it brings nothing that counts, so it may arrive twice. */
const KINDS = ["heartbeat", "renewal", "advance", "complete", "fail", "release", "ask", "usage"] as const;
export type ReportKind = (typeof KINDS)[number];
/** The kinds that a worker without a kit sends: it gives each heartbeat an id. */
export type SentKind = Exclude<ReportKind, "renewal">;

const callSchema = z.looseObject({
  provider: z.string(),
  model: z.string(),
});

/** A report as it is sent: the fields of the API that the checks need. Usage by itself has no metrics. */
export const inputSchema = z.looseObject({
  workflowRunId: z.string(),
  leaseToken: z.string(),
  reportId: z.string(),
  metrics: z.looseObject({ usage: z.array(callSchema).optional() }).optional(),
  usage: z.array(callSchema).optional(),
});
export type ReportInput = z.infer<typeof inputSchema>;

/** By the clocks of the process that wrote it: only the wall's means the same to another one. */
export const momentSchema = z.object({ steadyMs: z.number(), wallMs: z.number() });

/** What a claim brings of earlier runs. */
export const broughtSchema = z.object({
  completedNodes: z.array(z.object({ nodeId: z.string(), output: z.unknown() })),
  userAnswers: z.array(z.object({ requestId: z.string(), answer: z.string() })),
  children: z.array(z.object({ jobId: z.string(), state: z.string() })),
});

/** What a worker does under the lease of a run, or ceases to do. */
const ofRun = { workflowRunId: z.string(), at: momentSchema };

export const entrySchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("claimed"),
    workflowRunId: z.string(),
    jobId: z.string(),
    /** Null where the claim did not ask for it. */
    leaseExpiresAt: z.string().nullable(),
    leaseSeconds: z.number(),
    /** When the claim was sent that was answered. */
    sentAt: momentSchema,
    /** What the claim brought. */
    ...broughtSchema.shape,
  }),
  /** Written before a step is begun. */
  z.object({ type: z.literal("begun"), nodeId: z.string(), ...ofRun }),
  /** Written when something was done outside: the key under which, and the receipt. */
  z.object({ type: z.literal("effect"), key: z.string(), receipt: z.string() }),
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
  /** A kit said that a run has ended so, and that the server knows it. */
  z.object({ type: z.literal("ended"), workflowRunId: z.string(), ending: z.string() }),
  /** An answer that a worker that follows the documentation should never get. */
  z.object({ type: z.literal("unexpected"), message: z.string() }),
]);
export type Entry = z.infer<typeof entrySchema>;
