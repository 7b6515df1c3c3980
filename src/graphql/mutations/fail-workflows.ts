import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import type { failWorkflows } from "../../runs/fail.ts";
import type { Failure, FailureError } from "../../runs/failure.ts";
import type { ReleasedRun } from "../../runs/release.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { deltaOf, distinctRuns, reportId, WHOLE_BATCH } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";
import { senderOf } from "../viewer.ts";

const WorkflowFailureInput = builder.inputType("WorkflowFailureInput", {
  description: "The failure of one run.",
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
    retryAfter: t.field({
      type: "DateTime",
      description:
        "The earliest time of the next attempt, such as a provider's Retry-After: the job is due then, or after the backoff if that is " +
        "later. At most 24 hours ahead. Without effect where the job fails.",
    }),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
  }),
});

const FailWorkflowsInput = builder.inputType("FailWorkflowsInput", {
  description: "The failures of several runs.",
  fields: (t) => ({
    failures: t.field({
      type: [WorkflowFailureInput],
      required: true,
      validate: distinctRuns(),
      description: `1 to 100 failures, each of a different run. ${WHOLE_BATCH}`,
    }),
  }),
});

const FailedWorkflow = builder.objectRef<ReleasedRun>("FailedWorkflow").implement({
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

const FailWorkflowsPayload = builder
  .objectRef<Awaited<ReturnType<typeof failWorkflows>>>("FailWorkflowsPayload")
  .implement({
    description: "Each failure has been decided on its own.",
    isTypeOf: Array.isArray,
    fields: (t) => ({
      results: t.errorUnionListField({
        types: [
          FailedWorkflow,
          // TryAgainError is answered for single failures where the others of the call are stored already.
          ...errorTypes<FailureError | errors.GuardFailedError>()(
            errors.InvalidInputError,
            errors.LeaseLostError,
            errors.IllegalTransitionError,
            errors.JobPoisonedError,
            errors.AccessModeViolationError,
            errors.GuardFailedError,
            errors.TryAgainError,
          ),
        ],
        union: { name: "FailWorkflowResult", description: "The result of one failure." },
        description: "One result for each failure, in the same order; one that is refused does not affect the others.",
        resolve: (results) => results,
      }),
    }),
  });

builder.mutationField("failWorkflows", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    extensions: { commandsBy: ["input", "failures"] },
    description:
      "Ends runs as FAILED. Each job is retried after a backoff if its failure is retryable and attempts are left. Each " +
      "failure is decided on its own (section 6).",
    types: [
      FailWorkflowsPayload,
      ...errorTypes<ErrorsOf<typeof failWorkflows>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of failWorkflows." },
    args: { input: t.arg({ type: FailWorkflowsInput, required: true, description: "The failures." }) },
    resolve: async (_root, { input }, { releases, engine: { client }, viewer, readable }) => {
      const results = await releases.failWorkflows(
        input.failures.map((failure) =>
          exact<SentReport<Failure>>()({ ...failure, ...senderOf(viewer), metrics: deltaOf(failure.metrics) }),
        ),
        client,
      );
      for (const result of results) if (!(result instanceof errors.AppError)) readable.hold(result.job);
      return results;
    },
  }),
);
