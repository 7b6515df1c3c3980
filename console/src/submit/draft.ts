import type { AccessMode, JobKind, ModelTier, SafetyMode, SubmitAiJobInput } from "@ai-job-server/sdk/client";
import type { WholeJob } from "../job/use-job-view.ts";
import { typedAmount } from "../ui/numbers.ts";
import { refLine } from "./lines.ts";

/** What is typed into the form. */
export interface Draft {
  readonly jobKind: JobKind;
  readonly protocolId: string;
  readonly jobInputs: string;
  readonly labels: string;
  readonly accessMode: AccessMode;
  readonly safetyMode: SafetyMode;
  readonly modelTier: ModelTier;
  readonly priority: string;
  readonly maxAttempts: string;
  readonly tokenBudget: string;
  readonly costBudgetMicros: string;
  /** A time of the person's zone, such as `2026-11-30T18:00`. */
  readonly runAfter: string;
  /** Empty for the default one of the kind. */
  readonly capabilityProfileId: string;
  readonly idempotencyKey: string;
  readonly entityRefs: string;
  /** What the form has no field for, and an existing job brings along. */
  readonly more: Pick<SubmitAiJobInput, "profileId" | "plannedOperations">;
}

/** What the fields are called at which a fault can be shown, in the order in which they stand. */
export const FIELD_NAMES = {
  protocolId: "Protocol",
  jobInputs: "Inputs",
  labels: "Labels",
  entityRefs: "Entities",
  capabilityProfileId: "Capability profile",
  priority: "Priority",
  maxAttempts: "Attempts at most",
  tokenBudget: "Tokens at most",
  costBudgetMicros: "Cost at most",
  runAfter: "Not before",
  idempotencyKey: "Idempotency key",
} as const satisfies Partial<Record<keyof Draft, string>>;

/** @returns what to say of a form that was not sent, or was refused, for the faults at its fields; null where one has no field. */
export function faultyText(faults: Iterable<string>): string | null {
  const faulty = new Set(faults);
  const fields = Object.entries(FIELD_NAMES).filter(([name]) => faulty.has(name));
  if (faulty.size === 0 || fields.length < faulty.size) return null;
  return `Not submitted. Look at ${fields.map(([, text]) => `“${text}”`).join(", ")}.`;
}

export const EMPTY: Draft = {
  jobKind: "DOC_SUMMARIZE",
  protocolId: "",
  jobInputs: "",
  labels: "",
  accessMode: "ANALYSIS_ONLY",
  safetyMode: "NORMAL",
  modelTier: "LOCAL",
  priority: "0",
  maxAttempts: "3",
  tokenBudget: "",
  costBudgetMicros: "",
  runAfter: "",
  capabilityProfileId: "",
  idempotencyKey: "",
  entityRefs: "",
  more: {},
};

/** @returns what would submit another job like this one. Its key stays its own, and a time that has passed means nothing. */
export function draftOf(job: WholeJob): Draft {
  return {
    jobKind: job.jobKind,
    protocolId: job.protocolId,
    jobInputs: job.jobInputs == null ? "" : JSON.stringify(job.jobInputs, null, 2),
    labels: job.labels.map(({ key, value }) => `${key}=${value.replaceAll("\n", " ")}`).join("\n"),
    accessMode: job.accessMode,
    safetyMode: job.safetyMode,
    modelTier: job.modelTier,
    priority: String(job.priority),
    maxAttempts: String(job.maxAttempts),
    tokenBudget: job.tokenBudget?.toString() ?? "",
    costBudgetMicros: job.costBudgetMicros === null ? "" : typedAmount(job.costBudgetMicros),
    runAfter: "",
    capabilityProfileId: job.capabilityProfileId,
    idempotencyKey: "",
    entityRefs: job.entityRefs.map(refLine).join("\n"),
    more: {
      profileId: job.profileId,
      plannedOperations: job.plannedOperations.map(({ opType, description, target }) => ({
        opType,
        ...(description === null ? {} : { description }),
        target: {
          entityKind: target.entityKind,
          entityId: target.entityId,
          ...(target.selector === null ? {} : { selector: target.selector }),
        },
      })),
    },
  };
}
