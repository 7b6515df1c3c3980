import * as errors from "../../errors.ts";
import { boundedText } from "../../jobs/input-text.ts";
import type { EndedRun } from "../../runs/completion.ts";
import { failWorkflow } from "../../runs/fail.ts";
import { builder } from "../builder.ts";
import { deltaOf, reportId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";

const FailWorkflowInput = builder.inputType("FailWorkflowInput", {
  description: "A worker gives up on a run.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run." }),
    leaseToken: t.string({ required: true, description: "The token that the claim gave." }),
    reportId: t.field(reportId),
    errorMessage: t.string({
      required: true,
      validate: boundedText(10_000),
      description: "Why, 1 to 10,000 characters; kept redacted.",
    }),
    retryable: t.boolean({
      required: true,
      defaultValue: true,
      description: "Whether another attempt is worth it: while attempts are left, the job is QUEUED again, for later.",
    }),
    metrics: t.field({ type: MetricsDelta, description: "What the run has cost since the last report." }),
  }),
});

const FailWorkflowPayload = builder.objectRef<EndedRun>("FailWorkflowPayload").implement({
  description: "The run has failed.",
  isTypeOf: isPayloadWith("run"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job: QUEUED for another attempt, or FAILED.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run, FAILED.", resolve: ({ run }) => run }),
  }),
});

builder.mutationField("failWorkflow", (t) =>
  t.errorUnionField({
    description:
      "Ends a run as FAILED. The job is tried again while that is worth it and attempts are left (section 6).",
    types: [
      FailWorkflowPayload,
      ...errorTypes<ErrorsOf<typeof failWorkflow>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.LeaseLostError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.AccessModeViolationError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of failWorkflow." },
    args: { input: t.arg({ type: FailWorkflowInput, required: true, description: "The run, and why." }) },
    resolve: async (_root, { input }, { engine }) => {
      const { metrics, ...rest } = input;
      return orThrow(await failWorkflow(engine, { ...rest, metrics: deltaOf(metrics) }));
    },
  }),
);
