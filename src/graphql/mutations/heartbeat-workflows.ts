import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { type Heartbeat, type HeartbeatAnswer, heartbeatWorkflows } from "../../runs/heartbeat.ts";
import type { SentReport } from "../../runs/report.ts";
import { builder } from "../builder.ts";
import { WorkflowDirectiveEnum } from "../enums.ts";
import { ErrorInterface, toPlainError } from "../errors.ts";
import { deltaOf, distinctRuns, leaseSeconds, reportId, WHOLE_BATCH } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith } from "../result.ts";
import { MetricsDelta } from "../types/job-metrics.ts";
import { ProgressInput, progressOf } from "../types/progress.ts";
import { senderOf } from "../viewer.ts";

const WorkflowHeartbeatInput = builder.inputType("WorkflowHeartbeatInput", {
  description: "A report that renews the lease of one run.",
  fields: (t) => ({
    workflowRunId: t.field({ type: "UUID", required: true, description: "The run's id." }),
    leaseToken: t.string({ required: true, description: "The lease token from the claim." }),
    reportId: t.field(reportId),
    metrics: t.field({
      type: MetricsDelta,
      description: "What the run has used since its last report; added to the job's metrics.",
    }),
    progress: t.field({
      type: ProgressInput,
      description:
        "How far the run is. It shows in AiJob.progress at once, or within about a second and a half where the job said something less than a second ago.",
    }),
    leaseSeconds: t.int({
      ...leaseSeconds,
      description: `${leaseSeconds.description} A renewal never shortens a lease; pass the same value as in the claim.`,
    }),
  }),
});

const HeartbeatWorkflowsInput = builder.inputType("HeartbeatWorkflowsInput", {
  description: "Heartbeats for several runs.",
  fields: (t) => ({
    heartbeats: t.field({
      type: [WorkflowHeartbeatInput],
      required: true,
      validate: distinctRuns(),
      description: `1 to 100 heartbeats, each for a different run. ${WHOLE_BATCH}`,
    }),
  }),
});

const WorkflowHeartbeat = builder.objectRef<HeartbeatAnswer>("WorkflowHeartbeat").implement({
  description: "The answer to one heartbeat.",
  fields: (t) => ({
    workflowRunId: t.expose("workflowRunId", { type: "UUID", description: "The run's id." }),
    directive: t.expose("directive", { type: WorkflowDirectiveEnum, description: "What the worker must do now." }),
    leaseExpiresAt: t.expose("leaseExpiresAt", {
      type: "DateTime",
      nullable: true,
      description: "When the renewed lease ends; null if the lease is lost.",
    }),
    error: t.field({
      type: ErrorInterface,
      nullable: true,
      description:
        "Why the directive is one of STOP_…; or, under CONTINUE, why what the heartbeat brings, or its reportId, was refused: nothing " +
        "of it was kept, and the lease is renewed all the same. Null if all is well.",
      resolve: ({ error }) => error && toPlainError(error),
    }),
  }),
});

const HeartbeatWorkflowsPayload = builder
  .objectRef<{ readonly results: HeartbeatAnswer[] }>("HeartbeatWorkflowsPayload")
  .implement({
    description: "Each heartbeat has been processed.",
    isTypeOf: isPayloadWith("results"),
    fields: (t) => ({
      results: t.expose("results", {
        type: [WorkflowHeartbeat],
        description: "One result for each heartbeat, in the same order.",
      }),
    }),
  });

builder.mutationField("heartbeatWorkflows", (t) =>
  t.errorUnionField({
    permission: "JOBS_WORK",
    extensions: { commandsBy: ["input", "heartbeats"] },
    description:
      "Renews leases, adds metrics, takes progress, and tells the worker for each run whether to go on (sections 6 and 13). A message " +
      "in which a guard finds a security violation poisons its job: the result's error is a JobPoisonedError.",
    types: [
      HeartbeatWorkflowsPayload,
      ...errorTypes<ErrorsOf<typeof heartbeatWorkflows>, errors.InvalidInputError>()(
        errors.InvalidInputError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of heartbeatWorkflows." },
    args: { input: t.arg({ type: HeartbeatWorkflowsInput, required: true, description: "The heartbeats." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      const heartbeats = input.heartbeats.map((heartbeat) =>
        exact<SentReport<Heartbeat>>()({
          ...heartbeat,
          ...senderOf(viewer),
          metrics: deltaOf(heartbeat.metrics),
          progress: progressOf(heartbeat.progress),
        }),
      );
      return { results: await heartbeatWorkflows(engine, heartbeats) };
    },
  }),
);
