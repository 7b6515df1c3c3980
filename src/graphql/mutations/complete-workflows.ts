import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import type { completeWorkflows } from "../../runs/complete.ts";
import type { Completion, CompletionError } from "../../runs/completion.ts";
import type { ReleasedRun } from "../../runs/release.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { DOCUMENT_BYTES, deltaOf, distinctRuns, EntityRefInput, refOf, reportId, WHOLE_BATCH } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { retrievedSnippets, snippetOf, stepOf, stepsField } from "../step-inputs.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";
import { senderOf } from "../viewer.ts";

const WorkflowCompletionInput = builder.inputType("WorkflowCompletionInput", {
  description: "The result of one run.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    jobOutputs: t.field({
      type: "JSON",
      validate: boundedJson(DOCUMENT_BYTES),
      description: "The job's outputs, up to 4,000,000 bytes of JSON.",
    }),
    writtenEntities: t.field({
      type: [EntityRefInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "The entities that the run wrote, up to 1,000; checked against the job's access mode (section 6).",
    }),
    issues: t.stringList({
      required: true,
      defaultValue: [],
      validate: z.array(boundedText(2000)).max(100),
      description:
        "Issues that a reader of the outputs should know, up to 100 texts of 1 to 2,000 characters. With any, the job becomes " +
        "COMPLETED_WITH_ISSUES.",
    }),
    needsValidation: t.boolean({
      required: true,
      defaultValue: false,
      description:
        "Whether to ask for a verdict first: the lease ends, and the job is AWAITING_VALIDATION until resolveValidation.",
    }),
    steps: t.field({
      ...stepsField,
      description:
        "The run's last steps, in the order in which they happened, up to 100, so that they need no report of their own. They are stored with " +
        "the completion, or nothing is.",
    }),
    retrievedSnippets: t.field(retrievedSnippets),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
  }),
});

const CompleteWorkflowsInput = builder.inputType("CompleteWorkflowsInput", {
  description: "The results of several runs.",
  fields: (t) => ({
    completions: t.field({
      type: [WorkflowCompletionInput],
      required: true,
      validate: distinctRuns(),
      description: `1 to 100 completions, each of a different run. ${WHOLE_BATCH}`,
    }),
  }),
});

const CompletedWorkflow = builder.objectRef<ReleasedRun>("CompletedWorkflow").implement({
  description: "The run and its job are completed, or both await a verdict.",
  isTypeOf: isPayloadWith("run"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job, with its outputs.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({
      type: WorkflowRun,
      description: "The run: finished, or awaiting a verdict.",
      resolve: ({ run }) => run,
    }),
  }),
});

const CompleteWorkflowsPayload = builder
  .objectRef<Awaited<ReturnType<typeof completeWorkflows>>>("CompleteWorkflowsPayload")
  .implement({
    description: "Each completion has been decided on its own.",
    isTypeOf: Array.isArray,
    fields: (t) => ({
      results: t.errorUnionListField({
        types: [
          CompletedWorkflow,
          // TryAgainError is answered for single completions where the others of the call are stored already.
          ...errorTypes<CompletionError | errors.GuardFailedError>()(
            errors.InvalidInputError,
            errors.LeaseLostError,
            errors.IllegalTransitionError,
            errors.JobPoisonedError,
            errors.AccessModeViolationError,
            errors.BudgetExceededError,
            errors.CapabilityDeniedError,
            errors.GuardFailedError,
            errors.TryAgainError,
          ),
        ],
        union: { name: "CompleteWorkflowResult", description: "The result of one completion." },
        description:
          "One result for each completion, in the same order; one that is refused does not affect the others.",
        resolve: (results) => results,
      }),
    }),
  });

builder.mutationField("completeWorkflows", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    extensions: { commandsBy: ["input", "completions"] },
    description:
      "Completes runs together with their jobs. Guards check all that a completion brings first; one that poisons its job is " +
      "answered JobPoisonedError. Each completion is decided on its own (sections 6 and 7).",
    types: [
      CompleteWorkflowsPayload,
      ...errorTypes<ErrorsOf<typeof completeWorkflows>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of completeWorkflows." },
    args: { input: t.arg({ type: CompleteWorkflowsInput, required: true, description: "The completions." }) },
    resolve: async (_root, { input }, { releases, engine: { client }, viewer, readable }) => {
      const results = await releases.completeWorkflows(
        input.completions.map((completion) =>
          exact<SentReport<Completion>>()({
            ...completion,
            ...senderOf(viewer),
            writtenEntities: completion.writtenEntities.map(refOf),
            jobOutputs: completion.jobOutputs ?? null,
            steps: completion.steps.map(stepOf),
            retrievedSnippets: completion.retrievedSnippets.map(snippetOf),
            metrics: deltaOf(completion.metrics),
          }),
        ),
        client,
      );
      for (const result of results) if (!(result instanceof errors.AppError)) readable.hold(result.job);
      return results;
    },
  }),
);
