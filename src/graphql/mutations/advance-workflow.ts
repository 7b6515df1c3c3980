import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import { type Advanced, type AdvanceWorkflow, advanceWorkflow, type RetrievedSnippet } from "../../runs/advance.ts";
import type { Step } from "../../runs/nodes.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { SensitivityEnum, StepOutcomeEnum, WorkflowDirectiveEnum } from "../enums.ts";
import { DOCUMENT_BYTES, deltaOf, PAYLOAD_BYTES, reportId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { JobPoisoned } from "../types/job-poisoned.ts";
import { NodeExecution } from "../types/node-execution.ts";
import { ProgressInput, progressOf } from "../types/progress.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";
import { senderOf } from "../viewer.ts";

const WorkflowStepInput = builder.inputType("WorkflowStepInput", {
  description: "The progress of one step of a run. Report STARTED first, then SUCCEEDED or FAILED.",
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
      const isStart = step.outcome === "STARTED";
      if (isStart && step.outputPayload != null) refuse("outputPayload", "a step that starts has no output yet");
      if (!isStart && step.dependsOn.length > 0) refuse("dependsOn", "goes with STARTED");
      if (!isStart && step.inputPayload != null) refuse("inputPayload", "goes with STARTED");
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
    dependsOn: t.stringList({
      required: true,
      defaultValue: [],
      validate: z.array(boundedText(200)).max(1000),
      description:
        "The nodeIds of steps of this run that must have succeeded before this one starts, up to 1,000; only with " +
        "STARTED. A step that failed, is unfinished or is unknown is INVALID_INPUT.",
    }),
    inputPayload: t.field({
      type: "JSON",
      validate: boundedJson(PAYLOAD_BYTES),
      description: "The input of the step, up to 256 KiB; only with STARTED.",
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
    "A piece of content that the step read, unchanged [HSK-ACE-VAL-100]. It is guarded and not stored (section 7).",
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

const AdvanceWorkflowInput = builder.inputType("AdvanceWorkflowInput", {
  description: "A worker's report of a step.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    step: t.field({ type: WorkflowStepInput, required: true, description: "The step that is reported." }),
    retrievedSnippets: t.field({
      type: [RetrievedSnippetInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "The content that the step read since the last report, up to 1,000 snippets.",
    }),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
    progress: t.field({ type: ProgressInput, description: "How far the run is. It shows in AiJob.progress at once." }),
  }),
});

const AdvanceWorkflowPayload = builder.objectRef<Advanced>("AdvanceWorkflowPayload").implement({
  description: "The step is stored.",
  isTypeOf: isPayloadWith("node"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job, with the updated metrics.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run of the step.", resolve: ({ run }) => run }),
    node: t.expose("node", { type: NodeExecution, description: "This execution of the step." }),
    directive: t.field({
      type: WorkflowDirectiveEnum,
      description: "What the worker must do now: CONTINUE.",
      resolve: () => "CONTINUE" as const,
    }),
  }),
});

builder.mutationField("advanceWorkflow", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    description:
      "Reports a step. The lease is checked first, then guards check all that the report brings, and only then is anything stored. A " +
      "security violation poisons the job and answers JobPoisoned (sections 6 and 7).",
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
    union: { description: "The result of advanceWorkflow." },
    args: { input: t.arg({ type: AdvanceWorkflowInput, required: true, description: "The report." }) },
    resolve: async (_root, { input }, { engine, viewer, readable }) => {
      const report = exact<SentReport<AdvanceWorkflow>>()({
        ...input,
        ...senderOf(viewer),
        retrievedSnippets: input.retrievedSnippets.map((snippet) =>
          exact<RetrievedSnippet>()({ ...snippet, sourceHash: snippet.sourceHash ?? undefined }),
        ),
        metrics: deltaOf(input.metrics),
        progress: progressOf(input.progress),
        step: exact<Step>()({
          ...input.step,
          inputPayload: input.step.inputPayload ?? null,
          outputPayload: input.step.outputPayload ?? null,
          errorMessage: input.step.errorMessage ?? null,
        }),
      });
      const advanced = orThrow(await advanceWorkflow(engine, report));
      readable.hold(advanced.job);
      return advanced;
    },
  }),
);
