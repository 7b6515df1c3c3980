import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { boundedText } from "../../jobs/input-text.ts";
import { type GiveBack, type GiveBackError, MAX_RELEASES, type releaseWorkflows } from "../../runs/give-back.ts";
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

const WorkflowReleaseInput = builder.inputType("WorkflowReleaseInput", {
  description: "One run whose job is given back.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    reason: t.string({
      required: true,
      validate: boundedText(2000),
      description: "Why the job is given back, 1 to 2,000 characters; stored in the event with secrets redacted.",
    }),
    runAfter: t.field({
      type: "DateTime",
      description: "When the job is due again: a sleep that outlives the worker. If left out, or past, at once.",
    }),
    untilChildrenEnd: t.boolean({
      required: true,
      defaultValue: false,
      description:
        "Whether the job is due once all its children have ended; at once where it has none. Not with runAfter.",
    }),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
  }),
});

const ReleaseWorkflowsInput = builder.inputType("ReleaseWorkflowsInput", {
  description: "The runs whose jobs are given back.",
  fields: (t) => ({
    releases: t.field({
      type: [WorkflowReleaseInput],
      required: true,
      validate: distinctRuns(),
      description: `1 to 100, each of a different run. ${WHOLE_BATCH}`,
    }),
  }),
});

const ReleasedWorkflow = builder.objectRef<ReleasedRun>("ReleasedWorkflow").implement({
  description: "The job is given back.",
  isTypeOf: isPayloadWith("run"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: `The job, now QUEUED; FAILED where this was the ${MAX_RELEASES}th time without a step that succeeded in between.`,
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({
      type: WorkflowRun,
      description: "The run, now CANCELLED with the endReason `released`.",
      resolve: ({ run }) => run,
    }),
  }),
});

const ReleaseWorkflowsPayload = builder
  .objectRef<Awaited<ReturnType<typeof releaseWorkflows>>>("ReleaseWorkflowsPayload")
  .implement({
    description: "Each release has been decided on its own.",
    isTypeOf: Array.isArray,
    fields: (t) => ({
      results: t.errorUnionListField({
        types: [
          ReleasedWorkflow,
          // TryAgainError is answered for single releases where the others of the call are stored already.
          ...errorTypes<GiveBackError | errors.GuardFailedError>()(
            errors.InvalidInputError,
            errors.LeaseLostError,
            errors.IllegalTransitionError,
            errors.JobPoisonedError,
            errors.AccessModeViolationError,
            errors.BudgetExceededError,
            errors.GuardFailedError,
            errors.TryAgainError,
          ),
        ],
        union: { name: "ReleaseWorkflowResult", description: "The result of one release." },
        description: "One result for each release, in the same order; one that is refused does not affect the others.",
        resolve: (results) => results,
      }),
    }),
  });

builder.mutationField("releaseWorkflows", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    extensions: { commandsBy: ["input", "releases"] },
    description:
      "Gives jobs back, unfinished: because the worker stops, or because a job must wait for a time or for its children. The attempt is " +
      "not charged to maxAttempts, the job keeps its place in the queue, and what its steps have done goes to the next run " +
      `(WorkflowClaim.completedNodes). After ${MAX_RELEASES} releases without a step that succeeded in between, the job fails ` +
      "(section 13).",
    types: [
      ReleaseWorkflowsPayload,
      ...errorTypes<ErrorsOf<typeof releaseWorkflows>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of releaseWorkflows." },
    args: { input: t.arg({ type: ReleaseWorkflowsInput, required: true, description: "The releases." }) },
    resolve: async (_root, { input }, { releases, engine: { client }, viewer, readable }) => {
      const results = await releases.releaseWorkflows(
        input.releases.map((release) =>
          exact<SentReport<GiveBack>>()({ ...release, ...senderOf(viewer), metrics: deltaOf(release.metrics) }),
        ),
        client,
      );
      for (const result of results) if (!(result instanceof errors.AppError)) readable.hold(result.job);
      return results;
    },
  }),
);
