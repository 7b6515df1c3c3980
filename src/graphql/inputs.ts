import { z } from "zod";
import { exact } from "../exact.ts";
import type { EntityRef } from "../jobs/access-mode.ts";
import type { PlannedOperation } from "../jobs/draft.ts";
import { boundedText } from "../jobs/input-text.ts";
import { labelKey, labelValue } from "../jobs/labels.ts";
import { type MetricsDelta as Delta, NO_METRICS } from "../jobs/metrics.ts";
import { tokensOf } from "../jobs/usage/model-usage.ts";
import { LEASE_SECONDS } from "../runs/lease-token.ts";
import { builder } from "./builder.ts";
import { OperationTypeEnum } from "./enums.ts";
import type { MetricsDelta } from "./types/job-metrics.ts";

/** Inputs that several mutations take, and the sizes that documents may have. */

/** The largest size of a job's inputs or outputs, in bytes of JSON. */
export const DOCUMENT_BYTES = 4_000_000;
/** The largest size of one payload of a node, in bytes of JSON. */
export const PAYLOAD_BYTES = 256 * 1024;
/** The largest number of heartbeats or completions in one call. */
const MAX_BATCH_SIZE = 100;

export const EntityRefInput = builder.inputType("EntityRefInput", {
  description: "An entity outside this server that a job reads or writes (section 3).",
  fields: (t) => ({
    entityKind: t.string({
      required: true,
      validate: boundedText(200),
      description: "The kind of entity, such as `document`; 1 to 200 characters.",
    }),
    entityId: t.string({
      required: true,
      validate: boundedText(500),
      description: "The entity's id in the system that owns it; 1 to 500 characters.",
    }),
    selector: t.string({
      validate: boundedText(2000).nullish(),
      description: "The part of the entity, 1 to 2,000 characters; if left out, the whole entity.",
    }),
  }),
});

export const PlannedOperationInput = builder.inputType("PlannedOperationInput", {
  description: "An operation that a job intends to do (section 3).",
  fields: (t) => ({
    opType: t.field({ type: OperationTypeEnum, required: true, description: "What the operation does to its target." }),
    target: t.field({ type: EntityRefInput, required: true, description: "The entity that the operation is about." }),
    description: t.string({
      validate: boundedText(2000, 0).nullish(),
      description: "For human readers; up to 2,000 characters.",
    }),
  }),
});

export const LabelInput = builder.inputType("LabelInput", {
  description: "A label of a job (section 14).",
  fields: (t) => ({
    key: t.string({
      required: true,
      validate: labelKey,
      description: "What the label is about, such as `team`; 1 to 63 characters of a-z, 0-9, _, ., - and /.",
    }),
    value: t.string({
      required: true,
      validate: labelValue,
      description: "Any text of up to 200 characters, also none. Guards check it as they check jobInputs.",
    }),
  }),
});

/**
 * A reference as it is stored.
 * @returns the reference without its selector where that is null. Null and left out mean the same; the hash that
 *   recognises a repeated submit or report must not differ between the two.
 */
export function refOf(ref: typeof EntityRefInput.$inferInput): EntityRef {
  return exact<EntityRef>()({ ...ref, selector: ref.selector ?? undefined });
}

/** An operation as it is stored; its description is left out where it is null, for the reason given at `refOf`. */
export function operationOf(operation: typeof PlannedOperationInput.$inferInput): PlannedOperation {
  const { target, description } = operation;
  return exact<PlannedOperation>()({ ...operation, target: refOf(target), description: description ?? undefined });
}

/**
 * The metrics that a report adds; all 0 where it brings none. Tokens that are left out are those of its calls of models. Without calls,
 * `usage` is left out, so that such a report has the hash that it had before there was usage.
 */
export function deltaOf(metrics: typeof MetricsDelta.$inferInput | null | undefined): Delta {
  if (!metrics) return NO_METRICS;
  const { usage, inputTokens, outputTokens, ...others } = metrics;
  const tokens = tokensOf(usage);
  const counters = {
    ...others,
    inputTokens: inputTokens ?? tokens.inputTokens,
    outputTokens: outputTokens ?? tokens.outputTokens,
  };
  return exact<Delta>()(usage.length === 0 ? counters : { ...counters, usage });
}

/** The argument by which a worker's repeated report is recognised (section 6). */
export const reportId = {
  type: "UUID",
  description:
    "An id that the worker chooses, new for each report: a report that is sent again after a lost answer counts once. " +
    "A different report of the run with the same id is INVALID_INPUT.",
} as const;

/** The argument that names the worker that claims a job. */
export const workerId = {
  required: true,
  validate: boundedText(200),
  description: "The name that the worker chose for itself; the events of its reports carry it. 1 to 200 characters.",
} as const;

/** The argument that gives the reason for a verdict or a decision. */
export const comment = {
  validate: boundedText(2000).nullish(),
  description: "The reason, 1 to 2,000 characters; stored in the event with secrets redacted.",
} as const;

/** The argument for how long a lease lasts. */
export const leaseSeconds = {
  required: true,
  defaultValue: LEASE_SECONDS.default,
  validate: z.int().min(LEASE_SECONDS.min).max(LEASE_SECONDS.max),
  description: `How long the lease lasts from now, in seconds: ${LEASE_SECONDS.min} to ${LEASE_SECONDS.max}.`,
} as const;

/** The part of the description that all lists of reports have in common. */
export const WHOLE_BATCH = "If one item is malformed, such as a text that is too long, the whole call is refused.";

/** Validates a list of reports: 1 to 100 items, no two of them about the same run. */
export function distinctRuns() {
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
