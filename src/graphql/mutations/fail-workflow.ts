import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import type { ReleasedRun } from "../../runs/completion.ts";
import { type FailWorkflow, failWorkflow } from "../../runs/fail.ts";
import { builder } from "../builder.ts";
import { deltaOf, reportId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";

const FailWorkflowInput = builder.inputType("FailWorkflowInput", {
  description: "The run that failed, and why.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    errorMessage: t.string({
      required: true,
      validate: boundedText(10_000),
      description: "Why the run failed, 1 to 10,000 characters; stored with secrets redacted.",
    }),
    retryable: t.boolean({
      required: true,
      defaultValue: true,
      description:
        "Whether another attempt may succeed: if so, and while attempts are left, the job is QUEUED again after a backoff.",
    }),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
  }),
});

const FailWorkflowPayload = builder.objectRef<ReleasedRun>("FailWorkflowPayload").implement({
  description: "The run has failed.",
  isTypeOf: isPayloadWith("run"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job: QUEUED for another attempt, or FAILED.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run, now FAILED.", resolve: ({ run }) => run }),
  }),
});

builder.mutationField("failWorkflow", (t) =>
  t.errorUnionField({
    description:
      "Ends a run as FAILED. The job is retried after a backoff if the failure is retryable and attempts are left " +
      "(section 6).",
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
    union: { description: "The result of failWorkflow." },
    args: { input: t.arg({ type: FailWorkflowInput, required: true, description: "The run, and why it failed." }) },
    resolve: async (_root, { input }, { engine }) => {
      const report = exact<FailWorkflow>()({ ...input, metrics: deltaOf(input.metrics) });
      return orThrow(await failWorkflow(engine, report));
    },
  }),
);
