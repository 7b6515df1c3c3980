import { z } from "zod";
import * as errors from "../../errors.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import type { completeWorkflows } from "../../runs/complete.ts";
import type { CompletionError, EndedRun } from "../../runs/completion.ts";
import { builder } from "../builder.ts";
import { batchOfRuns, DOCUMENT_BYTES, deltaOf, EntityRefInput, refOf, reportId, WHOLE_BATCH } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";

const WorkflowCompletionInput = builder.inputType("WorkflowCompletionInput", {
  description: "What came of one run.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run." }),
    leaseToken: t.string({ required: true, description: "The token that the claim gave." }),
    reportId: t.field(reportId),
    jobOutputs: t.field({
      type: "JSON",
      validate: boundedJson(DOCUMENT_BYTES),
      description: "The job's outputs, up to 4,000,000 bytes.",
    }),
    writtenEntities: t.field({
      type: [EntityRefInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "Entities that the run wrote, up to 1,000; checked against the job's access mode (section 6).",
    }),
    issues: t.stringList({
      required: true,
      defaultValue: [],
      validate: z.array(boundedText(2000)).max(100),
      description: "What a reader should know, up to 100 of 2,000 characters; with any, COMPLETED_WITH_ISSUES.",
    }),
    needsValidation: t.boolean({
      required: true,
      defaultValue: false,
      description: "Asks for a verdict: the job is AWAITING_VALIDATION until resolveValidation, and the lease ends.",
    }),
    metrics: t.field({ type: MetricsDelta, description: "What the run has cost since the last report." }),
  }),
});

const CompleteWorkflowsInput = builder.inputType("CompleteWorkflowsInput", {
  description: "What came of several runs.",
  fields: (t) => ({
    completions: t.field({
      type: [WorkflowCompletionInput],
      required: true,
      validate: batchOfRuns(),
      description: `1 to 100, each for another run. ${WHOLE_BATCH}`,
    }),
  }),
});

const CompletedWorkflow = builder.objectRef<EndedRun>("CompletedWorkflow").implement({
  description: "The run is completed, and its job with it; or both await a verdict.",
  isTypeOf: isPayloadWith("run"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job, with its outputs.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run.", resolve: ({ run }) => run }),
  }),
});

const CompleteWorkflowsPayload = builder
  .objectRef<Awaited<ReturnType<typeof completeWorkflows>>>("CompleteWorkflowsPayload")
  .implement({
    description: "The completions were judged, each by itself.",
    isTypeOf: Array.isArray,
    fields: (t) => ({
      results: t.errorUnionListField({
        types: [
          CompletedWorkflow,
          // TryAgainError as well: it is promised of each completion, though one transaction makes them all today.
          ...errorTypes<CompletionError>()(
            errors.InvalidInputError,
            errors.LeaseLostError,
            errors.IllegalTransitionError,
            errors.JobPoisonedError,
            errors.AccessModeViolationError,
            errors.BudgetExceededError,
            errors.CapabilityDeniedError,
            errors.TryAgainError,
          ),
        ],
        union: { name: "CompleteWorkflowResult", description: "What came of one completion." },
        description: "One result for each completion, in order; each stands alone.",
        resolve: (results) => results,
      }),
    }),
  });

builder.mutationField("completeWorkflows", (t) =>
  t.errorUnionField({
    description: "Completes runs, and their jobs with them; each by itself (section 6).",
    types: [
      CompleteWorkflowsPayload,
      ...errorTypes<ErrorsOf<typeof completeWorkflows>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of completeWorkflows." },
    args: { input: t.arg({ type: CompleteWorkflowsInput, required: true, description: "The completions." }) },
    resolve: (_root, { input }, context) =>
      context.completeWorkflows(
        input.completions.map(({ jobOutputs, writtenEntities, metrics, ...rest }) => ({
          ...rest,
          writtenEntities: writtenEntities.map(refOf),
          jobOutputs: jobOutputs ?? null,
          metrics: deltaOf(metrics),
        })),
      ),
  }),
);
