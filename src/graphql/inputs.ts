import { z } from "zod";
import type { EntityRef } from "../jobs/access-mode.ts";
import { boundedText } from "../jobs/input-text.ts";
import { type MetricsDelta as Delta, NO_METRICS } from "../jobs/metrics.ts";
import { LEASE_SECONDS } from "../runs/lease-token.ts";
import { builder } from "./builder.ts";
import { OperationTypeEnum } from "./enums.ts";

/** Inputs that more than one mutation takes, and the limits of what texts and documents may be. */

/** Bytes of JSON that a job's inputs or outputs may have. */
export const DOCUMENT_BYTES = 4_000_000;
/** Bytes of JSON that one payload of a node may have. */
export const PAYLOAD_BYTES = 256 * 1024;
/** Items of a batch: heartbeats, completions. */
const MAX_BATCH_SIZE = 100;

export const EntityRefInput = builder.inputType("EntityRefInput", {
  description: "Something outside this server that a job reads or writes.",
  fields: (t) => ({
    entityKind: t.string({
      required: true,
      validate: boundedText(200),
      description: "What sort of thing, such as `document`; 1 to 200 characters.",
    }),
    entityId: t.string({
      required: true,
      validate: boundedText(500),
      description: "Which one, in the words of the system that has it; 1 to 500 characters.",
    }),
    selector: t.string({
      validate: boundedText(2000).nullish(),
      description: "Which part of it, 1 to 2,000 characters; all of it where left out.",
    }),
  }),
});

export const PlannedOperationInput = builder.inputType("PlannedOperationInput", {
  description: "What a job intends to do.",
  fields: (t) => ({
    opType: t.field({ type: OperationTypeEnum, required: true, description: "What is done to the target." }),
    target: t.field({ type: EntityRefInput, required: true, description: "What it is done to." }),
    description: t.string({
      validate: boundedText(2000, 0).nullish(),
      description: "For people; up to 2,000 characters.",
    }),
  }),
});

/**
 * A reference as it is kept: a selector that is null and one that is left out are the same, also to whoever tells the same
 * input sent twice from another one.
 */
export function refOf({ selector, ...ref }: EntityRef): EntityRef {
  return { ...ref, selector: selector ?? undefined };
}

/** The counters of a report that brings none, or of one that does. */
export function deltaOf(metrics: Delta | null | undefined): Delta {
  return metrics ?? NO_METRICS;
}

/** A worker's own id for a report. */
export const reportId = {
  type: "UUID",
  description:
    "The worker's own id for this report, new for each: sent again after a lost answer, the report counts once. " +
    "Another report of the run with the same id is INVALID_INPUT.",
} as const;

/** Who takes a job. */
export const workerId = {
  required: true,
  validate: boundedText(200),
  description: "The worker's own name, which the events of its reports carry; 1 to 200 characters.",
} as const;

/** Why somebody decided as they did. */
export const comment = {
  validate: boundedText(2000).nullish(),
  description: "Why; 1 to 2,000 characters, kept redacted in the event.",
} as const;

/** How long a lease is to last. */
export const leaseSeconds = {
  required: true,
  defaultValue: 30,
  validate: z.int().min(LEASE_SECONDS.min).max(LEASE_SECONDS.max),
  description: `How long the lease lasts from now, in seconds: ${LEASE_SECONDS.min} to ${LEASE_SECONDS.max}.`,
} as const;

/** What is said of every list of reports. */
export const WHOLE_BATCH = "An item of a wrong shape, such as a text that is too long, refuses all of them.";

/** A list of which no two items are about the same run. */
export function batchOfRuns() {
  const items = z
    .array(z.looseObject({ workflowRunId: z.string() }))
    .min(1)
    .max(MAX_BATCH_SIZE);
  return items.superRefine((batch, context) => {
    const seen = new Set<string>();
    for (const [index, { workflowRunId }] of batch.entries()) {
      const id = workflowRunId.toLowerCase();
      const path = [index, "workflowRunId"];
      if (seen.has(id)) context.addIssue({ code: "custom", message: "names a run that an earlier item names", path });
      seen.add(id);
    }
  });
}
