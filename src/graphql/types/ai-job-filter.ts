import type { JobFilter } from "../../jobs/filter.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { filterLabels, MAX_LABELS } from "../../jobs/labels.ts";
import { builder } from "../builder.ts";
import { JobKindEnum, JobStateEnum } from "../enums.ts";
import { LabelInput } from "../inputs.ts";

/**
 * The compiler compares its fields with those of `JobFilter`: a field that only one of the two has does not compile.
 */
export const AiJobFilter = builder.inputType("AiJobFilter", {
  description: "Selects jobs; every condition that is given must hold.",
  fields: (t) =>
    ({
      states: t.field({ type: [JobStateEnum], description: "Only jobs in one of these states." }),
      kinds: t.field({ type: [JobKindEnum], description: "Only jobs of one of these kinds." }),
      protocolId: t.string({ validate: boundedText(200).nullish(), description: "Only jobs with this protocol." }),
      parentJobId: t.field({ type: "UUID", description: "Only children of this job." }),
      createdAfter: t.field({ type: "DateTime", description: "Only jobs submitted later than this." }),
      createdBefore: t.field({ type: "DateTime", description: "Only jobs submitted earlier than this." }),
      traceId: t.field({ type: "UUID", description: "Only jobs with this trace: those of one tree." }),
      workerId: t.string({
        validate: boundedText(200).nullish(),
        description: "Only jobs that this worker holds, or was the last to hold.",
      }),
      capabilityProfileId: t.string({
        validate: boundedText(200).nullish(),
        description: "Only jobs with this capability profile.",
      }),
      idempotencyKey: t.string({
        validate: boundedText(200).nullish(),
        description: "Only the job that was submitted with this key.",
      }),
      rootJobId: t.field({ type: "UUID", description: "Only this job, if it is a root, and all jobs below it." }),
      rootsOnly: t.boolean({ description: "If true, only jobs without a parent. False is no condition." }),
      updatedAfter: t.field({ type: "DateTime", description: "Only jobs that last changed later than this." }),
      updatedBefore: t.field({ type: "DateTime", description: "Only jobs that last changed earlier than this." }),
      labels: t.field({
        type: [LabelInput],
        validate: filterLabels.nullish(),
        description: `Only jobs that have all of these labels, up to ${MAX_LABELS}; an empty list matches no job (section 14).`,
      }),
      submittedBy: t.string({
        validate: boundedText(300).nullish(),
        description:
          "Only jobs that this principal submitted, such as `key:<id>`, `jwt:<sub>` or `operator` (section 11).",
      }),
    }) satisfies Record<keyof JobFilter, unknown>,
});
