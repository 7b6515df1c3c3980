import { z } from "zod";
import * as errors from "../../errors.ts";
import { exact } from "../../exact.ts";
import { refuseKind } from "../../identity/principal.ts";
import type { SubmitAiJob } from "../../jobs/draft.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import { jobLabels, MAX_LABELS } from "../../jobs/labels.ts";
import { submitAiJob } from "../../jobs/submit.ts";
import { MAX_DESCENDANTS } from "../../jobs/tree.ts";
import { builder } from "../builder.ts";
import { AccessModeEnum, JobKindEnum, ModelTierEnum, SafetyModeEnum } from "../enums.ts";
import { DOCUMENT_BYTES, EntityRefInput, LabelInput, operationOf, PlannedOperationInput, refOf } from "../inputs.ts";
import { type ErrorsOf, errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const SubmitAiJobInput = builder.inputType("SubmitAiJobInput", {
  description: "The job to submit.",
  fields: (t) => ({
    jobKind: t.field({ type: JobKindEnum, required: true, description: "The kind of work." }),
    protocolId: t.string({
      required: true,
      validate: boundedText(200),
      description: "The protocol that jobInputs follows; 1 to 200 characters.",
    }),
    profileId: t.string({
      required: true,
      defaultValue: "default",
      validate: boundedText(200),
      description: "A profile name of the client's own, without meaning to the server; 1 to 200 characters.",
    }),
    capabilityProfileId: t.string({
      validate: boundedText(200).nullish(),
      description:
        "The capability profile that must suffice for the job; if left out, the default profile of its kind (section 8).",
    }),
    accessMode: t.field({
      type: AccessModeEnum,
      required: true,
      defaultValue: "ANALYSIS_ONLY",
      description: "What the job may do to entities outside this server (section 6).",
    }),
    safetyMode: t.field({
      type: SafetyModeEnum,
      required: true,
      defaultValue: "NORMAL",
      description: "How careful the worker should be.",
    }),
    modelTier: t.field({
      type: ModelTierEnum,
      required: true,
      defaultValue: "LOCAL",
      description: "Where the job's model runs; it cannot be changed later.",
    }),
    entityRefs: t.field({
      type: [EntityRefInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "The entities that the job reads or may write; up to 1,000.",
    }),
    plannedOperations: t.field({
      type: [PlannedOperationInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "The operations that the job intends to do; up to 1,000.",
    }),
    jobInputs: t.field({
      type: "JSON",
      validate: boundedJson(DOCUMENT_BYTES),
      description:
        "The inputs of the job, up to 4,000,000 bytes of JSON. Guards check every text in them before a worker gets the job.",
    }),
    parentJobId: t.field({
      type: "UUID",
      description:
        "The parent job; it must not have ended. The child shares its traceId, and is poisoned with it. " +
        `The root of a tree has at most ${MAX_DESCENDANTS.toLocaleString("en")} descendants.`,
    }),
    priority: t.int({ required: true, defaultValue: 0, description: "Jobs with a higher priority are claimed first." }),
    runAfter: t.field({
      type: "DateTime",
      description: "The job is not due before this time; if left out, it is due at once.",
    }),
    maxAttempts: t.int({
      required: true,
      defaultValue: 3,
      validate: z.int().min(1).max(100),
      description: "How many attempts the retry policy may make; 1 to 100.",
    }),
    tokenBudget: t.field({
      type: "SafeInt",
      description:
        "The tokens that the job may use; if left out, no limit. A report that exceeds it is recorded and fails the job " +
        "(ACE-001).",
    }),
    costBudgetMicros: t.field({
      type: "SafeInt",
      description:
        "The most that the job's calls of models may cost, in millionths of the deployment's currency (COST_CURRENCY); if left " +
        "out, no limit. A report that exceeds it is recorded and fails the job (ACE-001).",
    }),
    idempotencyKey: t.string({
      validate: boundedText(200).nullish(),
      description:
        "Makes a repeated submit return the same job instead of a second one; 1 to 200 characters, unique in the workspace " +
        "for as long as the job exists.",
    }),
    labels: t.field({
      type: [LabelInput],
      required: true,
      defaultValue: [],
      validate: jobLabels,
      description:
        `The labels of the job, up to ${MAX_LABELS}, each key once. They never change. A child without any gets all of its ` +
        "parent's; one with labels has these alone (section 14).",
    }),
  }),
});

const SubmitAiJobPayload = builder
  .objectRef<{ readonly job: typeof AiJob.$inferType; readonly deduplicated: boolean }>("SubmitAiJobPayload")
  .implement({
    description: "The job is stored.",
    isTypeOf: isPayloadWith("deduplicated"),
    fields: (t) => ({
      job: t.expose("job", { type: AiJob, description: "The job." }),
      deduplicated: t.exposeBoolean("deduplicated", {
        description: "Whether an earlier submit with this idempotency key created the job.",
      }),
    }),
  });

builder.mutationField("submitAiJob", (t) =>
  t.errorUnionField({
    permission: "JOBS_SUBMIT",
    description:
      "Stores a job as QUEUED, or as FAILED if its capability profile does not suffice (section 6). Refused if the parent " +
      "has ended or is poisoned. A key that is limited to other kinds is FORBIDDEN to submit it.",
    types: [
      SubmitAiJobPayload,
      ...errorTypes<ErrorsOf<typeof submitAiJob>, errors.InvalidInputError | errors.ForbiddenError>()(
        errors.InvalidInputError,
        errors.ForbiddenError,
        errors.CapabilityDeniedError,
        errors.UnknownCapabilityError,
        errors.IdempotencyConflictError,
        errors.NotFoundError,
        errors.IllegalTransitionError,
        errors.JobPoisonedError,
        errors.BudgetExceededError,
        errors.TryAgainError,
      ),
    ],
    union: { description: "The result of submitAiJob." },
    args: { input: t.arg({ type: SubmitAiJobInput, required: true, description: "The job." }) },
    resolve: async (_root, { input }, { engine, viewer }) => {
      orThrow(refuseKind(viewer.principal, input.jobKind));
      const job = exact<SubmitAiJob>()({
        ...input,
        entityRefs: input.entityRefs.map(refOf),
        plannedOperations: input.plannedOperations.map(operationOf),
        capabilityProfileId: input.capabilityProfileId ?? null,
        jobInputs: input.jobInputs ?? null,
        parentJobId: input.parentJobId ?? null,
        runAfter: input.runAfter ?? null,
        tokenBudget: input.tokenBudget ?? null,
        costBudgetMicros: input.costBudgetMicros ?? null,
        idempotencyKey: input.idempotencyKey ?? null,
        // None given is null, which is not hashed: a submit from before there were labels is still recognised.
        labels: input.labels.length === 0 ? null : input.labels,
      });
      return orThrow(await submitAiJob(engine, viewer.workspaceId, viewer.actor, job));
    },
  }),
);
