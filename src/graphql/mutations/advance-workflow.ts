import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type Advanced, type AdvanceWorkflow, advanceWorkflow } from "../../runs/advance.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { WorkflowDirectiveEnum } from "../enums.ts";
import { deltaOf, reportId } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { retrievedSnippets, snippetOf, stepOf, stepsField, WorkflowStepInput } from "../step-inputs.ts";
import { AiJob } from "../types/ai-job.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { JobPoisoned } from "../types/job-poisoned.ts";
import { NodeExecution } from "../types/node-execution.ts";
import { ProgressInput, progressOf } from "../types/progress.ts";
import { withDocuments } from "../types/relations.ts";
import { WorkflowRun } from "../types/workflow-run.ts";
import { senderOf } from "../viewer.ts";

const AdvanceWorkflowInput = builder.inputType("AdvanceWorkflowInput", {
  description: "A worker's report of steps: of one in `step`, or of several in `steps`.",
  validate: z
    .looseObject({ step: z.unknown().optional(), steps: z.array(z.unknown()) })
    .superRefine(({ step, steps }, context) => {
      if ((step == null) === (steps.length === 0))
        context.addIssue({ code: "custom", path: ["steps"], message: "give exactly one of step and steps" });
    }),
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    step: t.field({ type: WorkflowStepInput, description: "The step that is reported, where it is one; else null." }),
    steps: t.field({
      ...stepsField,
      description:
        "The steps that are reported, in the order in which they happened, up to 100; all are stored, or none is. Empty with `step`.",
    }),
    retrievedSnippets: t.field(retrievedSnippets),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
    progress: t.field({ type: ProgressInput, description: "How far the run is. It shows in AiJob.progress at once." }),
  }),
});

const AdvanceWorkflowPayload = builder.objectRef<Advanced>("AdvanceWorkflowPayload").implement({
  description: "The steps are stored.",
  isTypeOf: isPayloadWith("node"),
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The job, with the updated metrics.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
    workflowRun: t.field({ type: WorkflowRun, description: "The run of the steps.", resolve: ({ run }) => run }),
    node: t.expose("node", {
      type: NodeExecution,
      description: "This execution of the step; of several, of the last.",
    }),
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
      "Reports steps. The lease is checked first, then guards check all that the report brings, and only then is anything stored. A " +
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
      const { step, steps, ...rest } = input;
      const report = exact<SentReport<AdvanceWorkflow>>()({
        ...rest,
        ...senderOf(viewer),
        retrievedSnippets: input.retrievedSnippets.map(snippetOf),
        metrics: deltaOf(input.metrics),
        progress: progressOf(input.progress),
        steps: (step ? [step] : steps).map(stepOf),
      });
      const advanced = orThrow(inInputOf(await advanceWorkflow(engine, report), step != null));
      readable.hold(advanced.job);
      return advanced;
    },
  }),
);

/** The command tells where in its steps a fault is: a caller that sent one as `step` is told so. */
function inInputOf<Result>(result: Result, isOneStep: boolean): Result | errors.InvalidInputError {
  if (!isOneStep || !(result instanceof errors.InvalidInputError)) return result;
  const [input, field, , ...within] = result.inputPath;
  return field === "steps" && input !== undefined
    ? new errors.InvalidInputError([input, "step", ...within], result.message)
    : result;
}
