import { z } from "zod";
import * as errors from "../../errors.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import { type Advanced, advanceWorkflow } from "../../runs/advance.ts";
import { builder } from "../builder.ts";
import { SensitivityEnum, StepOutcomeEnum, WorkflowDirectiveEnum } from "../enums.ts";
import { DOCUMENT_BYTES, deltaOf, PAYLOAD_BYTES, reportId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { JobPoisoned } from "../types/job-poisoned.ts";
import { NodeExecution } from "../types/node-execution.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";

const WorkflowStepInput = builder.inputType("WorkflowStepInput", {
  description: "How one step of a run stands: report STARTED, then SUCCEEDED or FAILED.",
  validate: z
    .looseObject({
      outcome: z.string(),
      dependsOn: z.array(z.unknown()),
      inputPayload: z.unknown(),
      outputPayload: z.unknown(),
      errorMessage: z.unknown(),
    })
    .superRefine((step, context) => {
      const refuse = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
      const starts = step.outcome === "STARTED";
      if (starts && step.outputPayload != null) refuse("outputPayload", "a step that starts has no output yet");
      if (!starts && step.dependsOn.length > 0) refuse("dependsOn", "goes with STARTED");
      if (!starts && step.inputPayload != null) refuse("inputPayload", "goes with STARTED");
      if (step.outcome !== "FAILED" && step.errorMessage != null) refuse("errorMessage", "goes with FAILED");
    }),
  fields: (t) => ({
    nodeId: t.string({
      required: true,
      validate: boundedText(200),
      description: "The step's name, unique among the run's open steps; 1 to 200 characters.",
    }),
    nodeType: t.string({
      required: true,
      validate: boundedText(200),
      description: "What sort of step; `llm_call` is recorded as LLM_INFERENCE. 1 to 200 characters.",
    }),
    outcome: t.field({ type: StepOutcomeEnum, required: true, description: "How it stands." }),
    dependsOn: t.stringList({
      required: true,
      defaultValue: [],
      validate: z.array(boundedText(200)).max(1000),
      description:
        "Ids of nodes of this run that must have succeeded before this one starts, up to 1,000; with STARTED only. " +
        "One that failed, is unfinished or unknown is INVALID_INPUT.",
    }),
    inputPayload: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description: "What it starts with, up to 256 KiB; with STARTED only.",
    }),
    outputPayload: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description: "What came of it, up to 256 KiB; with SUCCEEDED or FAILED only.",
    }),
    errorMessage: t.string({
      validate: boundedText(10_000).nullish(),
      description: "Why it failed, 1 to 10,000 characters, kept redacted; with FAILED only.",
    }),
  }),
});

const RetrievedSnippetInput = builder.inputType("RetrievedSnippetInput", {
  description: "Something that the step read, as it was read [HSK-ACE-VAL-100]. It is guarded and not stored.",
  fields: (t) => ({
    sourceId: t.string({
      required: true,
      validate: boundedText(500),
      description: "Where it comes from; 1 to 500 characters.",
    }),
    sourceHash: t.string({
      validate: boundedText(200).nullish(),
      description: "A hash of the source, as its owner has it.",
    }),
    content: t.string({
      required: true,
      validate: boundedText(DOCUMENT_BYTES, 0),
      description: "The raw text, up to 4,000,000 characters, as far as the request's body may be as large.",
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

const AdvanceWorkflowInput = builder.inputType("AdvanceWorkflowInput", {
  description: "A worker's report of a step.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run." }),
    leaseToken: t.string({ required: true, description: "The token that the claim gave." }),
    reportId: t.field(reportId),
    step: t.field({ type: WorkflowStepInput, required: true, description: "The step." }),
    retrievedSnippets: t.field({
      type: [RetrievedSnippetInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "What the step read since the last report, up to 1,000.",
    }),
    metrics: t.field({ type: MetricsDelta, description: "What the run has cost since the last report." }),
  }),
});

const AdvanceWorkflowPayload = builder.objectRef<Advanced>("AdvanceWorkflowPayload").implement({
  description: "The step is kept.",
  isTypeOf: isPayloadWith("node"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job, its metrics included.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run.", resolve: ({ run }) => run }),
    node: t.expose("node", { type: NodeExecution, description: "This execution of the step." }),
    directive: t.field({
      type: WorkflowDirectiveEnum,
      description: "What the worker must do now.",
      resolve: () => "CONTINUE" as const,
    }),
  }),
});

builder.mutationField("advanceWorkflow", (t) =>
  t.errorUnionField({
    description:
      "Reports a step. The lease is checked, then guards run on what it brings, and only then is any of it kept; a trap " +
      "commits POISONED and answers JobPoisoned (section 6).",
    types: [
      AdvanceWorkflowPayload,
      JobPoisoned,
      ...errorTypes<ErrorsOf<typeof advanceWorkflow>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.LeaseLostError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.BudgetExceededError,
        errors.AccessModeViolationError,
        errors.GuardFailedError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of advanceWorkflow." },
    args: { input: t.arg({ type: AdvanceWorkflowInput, required: true, description: "The report." }) },
    resolve: async (_root, { input }, { engine }) => {
      const { metrics, step, retrievedSnippets, ...report } = input;
      const { nodeId, nodeType, outcome, dependsOn, inputPayload, outputPayload, errorMessage } = step;
      return orThrow(
        await advanceWorkflow(engine, {
          ...report,
          retrievedSnippets: retrievedSnippets.map(({ sourceHash, ...snippet }) => ({
            ...snippet,
            sourceHash: sourceHash ?? undefined,
          })),
          metrics: deltaOf(metrics),
          step: {
            nodeId,
            nodeType,
            outcome,
            dependsOn,
            inputPayload: inputPayload ?? null,
            outputPayload: outputPayload ?? null,
            errorMessage: errorMessage ?? null,
          },
        }),
      );
    },
  }),
);
