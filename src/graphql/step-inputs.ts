import { z } from "zod";
import { exact } from "../exact.ts";
import { boundedJson, boundedText } from "../jobs/input-text.ts";
import type { RetrievedSnippet } from "../runs/retrieved-snippets.ts";
import { MAX_STEPS_PER_REPORT, type Step } from "../runs/steps.ts";
import { builder } from "./builder.ts";
import { SensitivityEnum, StepOutcomeEnum } from "./enums.ts";
import { DOCUMENT_BYTES, PAYLOAD_BYTES } from "./inputs.ts";

/** The inputs of reports that bring steps, with what they become for the commands. */

export const WorkflowStepInput = builder.inputType("WorkflowStepInput", {
  description:
    "The progress of one step of a run. Report STARTED first, then SUCCEEDED or FAILED; or report it once, when it ended, with startedAt.",
  validate: z
    .looseObject({
      outcome: z.string(),
      startedAt: z.unknown().optional(),
      dependsOn: z.array(z.unknown()),
      inputPayload: z.unknown(),
      outputPayload: z.unknown(),
      errorMessage: z.unknown(),
    })
    .superRefine((step, context) => {
      const refuse = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
      const isStart = step.outcome === "STARTED";
      const mayStart = isStart || step.startedAt != null;
      if (isStart && step.startedAt != null) refuse("startedAt", "goes with SUCCEEDED and FAILED");
      if (isStart && step.outputPayload != null) refuse("outputPayload", "a step that starts has no output yet");
      if (!mayStart && step.dependsOn.length > 0) refuse("dependsOn", "goes with STARTED, or with startedAt");
      if (!mayStart && step.inputPayload != null) refuse("inputPayload", "goes with STARTED, or with startedAt");
      if (step.outcome !== "FAILED" && step.errorMessage != null) refuse("errorMessage", "goes with FAILED");
    }),
  fields: (t) => ({
    nodeId: t.string({
      required: true,
      validate: boundedText(200),
      description: "The step's name, unique among the open steps of the run; 1 to 200 characters.",
    }),
    nodeType: t.string({
      required: true,
      validate: boundedText(200),
      description: "The type of the step, 1 to 200 characters; `llm_call` is recorded as LLM_INFERENCE.",
    }),
    outcome: t.field({ type: StepOutcomeEnum, required: true, description: "The progress of the step." }),
    startedAt: t.field({
      type: "DateTime",
      description:
        "When a step started that is reported once, when it ended; only with SUCCEEDED or FAILED, and of a step that is not running. A time " +
        "before its run or in the future, as by another clock, is moved to the run's start or to now.",
    }),
    dependsOn: t.stringList({
      required: true,
      defaultValue: [],
      validate: z.array(boundedText(200)).max(1000),
      description:
        "The nodeIds of steps of this run, or of earlier runs, that must have succeeded before this one starts, up to 1,000; only with " +
        "STARTED or startedAt. A step that failed, is unfinished or is unknown is INVALID_INPUT.",
    }),
    inputPayload: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description: "The input of the step, up to 256 KiB; only with STARTED or startedAt.",
    }),
    outputPayload: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description: "The output of the step, up to 256 KiB; only with SUCCEEDED or FAILED.",
    }),
    errorMessage: t.string({
      validate: boundedText(10_000).nullish(),
      description: "Why the step failed, 1 to 10,000 characters; stored with secrets redacted; only with FAILED.",
    }),
  }),
});

const RetrievedSnippetInput = builder.inputType("RetrievedSnippetInput", {
  description:
    "A piece of content that a step read, unchanged [HSK-ACE-VAL-100]. It is guarded and not stored (section 7).",
  fields: (t) => ({
    sourceId: t.string({
      required: true,
      validate: boundedText(500),
      description: "The id of the source; 1 to 500 characters.",
    }),
    sourceHash: t.string({
      validate: boundedText(200).nullish(),
      description: "The hash of the source in its own system; 1 to 200 characters.",
    }),
    content: t.string({
      required: true,
      validate: boundedText(DOCUMENT_BYTES, 0),
      description: "The raw text, up to 4,000,000 characters and within the largest request body (MAX_BODY_BYTES).",
    }),
    sensitivity: t.field({
      type: SensitivityEnum,
      required: true,
      defaultValue: "UNKNOWN",
      description: "How sensitive the source is.",
    }),
    exportable: t.boolean({ required: true, defaultValue: false, description: "Whether the source may be exported." }),
  }),
});

/** What the fields `steps` of reports have in common. */
export const stepsField = {
  type: listOf(WorkflowStepInput),
  required: true as const,
  defaultValue: [],
  validate: z.array(z.unknown()).max(MAX_STEPS_PER_REPORT),
};

/** The field `retrievedSnippets` of a report. */
export const retrievedSnippets = {
  type: listOf(RetrievedSnippetInput),
  required: true as const,
  defaultValue: [],
  validate: z.array(z.unknown()).max(1000),
  description: "The content that the worker read since its last report, up to 1,000 snippets.",
};

/** The type of a list for the builder, which needs it as a tuple. */
function listOf<Item>(item: Item): [Item] {
  return [item];
}

export const stepOf = (step: typeof WorkflowStepInput.$inferInput): Step =>
  exact<Step>()({
    ...step,
    startedAt: step.startedAt ?? null,
    dependsOn: step.dependsOn ?? [],
    inputPayload: step.inputPayload ?? null,
    outputPayload: step.outputPayload ?? null,
    errorMessage: step.errorMessage ?? null,
  });

export const snippetOf = (snippet: typeof RetrievedSnippetInput.$inferInput): RetrievedSnippet =>
  exact<RetrievedSnippet>()({ ...snippet, sourceHash: snippet.sourceHash ?? undefined });
