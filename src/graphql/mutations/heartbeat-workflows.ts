import * as errors from "../../errors.ts";
import { type HeartbeatAnswer, heartbeatWorkflows } from "../../runs/heartbeat.ts";
import { builder } from "../builder.ts";
import { WorkflowDirectiveEnum } from "../enums.ts";
import { ErrorInterface, toPlainError } from "../errors.ts";
import { batchOfRuns, deltaOf, leaseSeconds, reportId, WHOLE_BATCH } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { MetricsDelta } from "../types/job-metrics.ts";

const WorkflowHeartbeatInput = builder.inputType("WorkflowHeartbeatInput", {
  description: "A worker's sign of life for one run.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run." }),
    leaseToken: t.string({ required: true, description: "The token that the claim gave." }),
    reportId: t.field(reportId),
    metrics: t.field({ type: MetricsDelta, description: "What the run has cost since the last report." }),
    leaseSeconds: t.int({
      ...leaseSeconds,
      description: `${leaseSeconds.description} A lease that lasts longer is not shortened: repeat what it was taken for.`,
    }),
  }),
});

const HeartbeatWorkflowsInput = builder.inputType("HeartbeatWorkflowsInput", {
  description: "Signs of life for several runs at once.",
  fields: (t) => ({
    heartbeats: t.field({
      type: [WorkflowHeartbeatInput],
      required: true,
      validate: batchOfRuns(),
      description: `1 to 100, each for another run. ${WHOLE_BATCH}`,
    }),
  }),
});

const WorkflowHeartbeat = builder.objectRef<HeartbeatAnswer>("WorkflowHeartbeat").implement({
  description: "The answer to one heartbeat.",
  fields: (t) => ({
    workflowRunId: t.expose("workflowRunId", { type: "UUID", description: "The run." }),
    directive: t.expose("directive", { type: WorkflowDirectiveEnum, description: "What the worker must do now." }),
    leaseExpiresAt: t.expose("leaseExpiresAt", {
      type: "DateTime",
      nullable: true,
      description: "When the renewed lease ends; null where there is none any more.",
    }),
    error: t.field({
      type: ErrorInterface,
      nullable: true,
      description: "Why the directive is STOP, or why the metrics were refused.",
      resolve: ({ error }) => error && toPlainError(error),
    }),
  }),
});

const HeartbeatWorkflowsPayload = builder
  .objectRef<{ readonly results: HeartbeatAnswer[] }>("HeartbeatWorkflowsPayload")
  .implement({
    description: "The heartbeats were heard.",
    isTypeOf: isPayloadWith("results"),
    fields: (t) => ({
      results: t.expose("results", {
        type: [WorkflowHeartbeat],
        description: "One result for each heartbeat, in order.",
      }),
    }),
  });

builder.mutationField("heartbeatWorkflows", (t) =>
  t.errorUnionField({
    description: "Renews leases, adds metrics, and tells each worker whether to go on (section 6).",
    types: [
      HeartbeatWorkflowsPayload,
      ...errorTypes<ErrorsOf<typeof heartbeatWorkflows>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "What came of heartbeatWorkflows." },
    args: { input: t.arg({ type: HeartbeatWorkflowsInput, required: true, description: "The heartbeats." }) },
    resolve: async (_root, { input }, { engine }) => {
      const heartbeats = input.heartbeats.map(({ metrics, ...rest }) => ({ ...rest, metrics: deltaOf(metrics) }));
      return { results: await heartbeatWorkflows(engine, heartbeats) };
    },
  }),
);
