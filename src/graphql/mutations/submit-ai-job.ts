import { z } from "zod";
import * as errors from "../../errors.ts";
import { boundedJson, boundedText } from "../../jobs/input-text.ts";
import { submitAiJob } from "../../jobs/submit.ts";
import { MAX_DESCENDANTS } from "../../jobs/tree.ts";
import { builder } from "../builder.ts";
import { AccessModeEnum, JobKindEnum, ModelTierEnum, SafetyModeEnum } from "../enums.ts";
import { DOCUMENT_BYTES, EntityRefInput, PlannedOperationInput, refOf } from "../inputs.ts";
import { errorTypes, isPayloadWith, orThrow } from "../result.ts";
import { AiJob } from "../types/ai-job.ts";

const SubmitAiJobInput = builder.inputType("SubmitAiJobInput", {
  description: "A job to be done.",
  fields: (t) => ({
    jobKind: t.field({ type: JobKindEnum, required: true, description: "What sort of work it is." }),
    protocolId: t.string({
      required: true,
      validate: boundedText(200),
      description: "The protocol that jobInputs follow; 1 to 200 characters.",
    }),
    profileId: t.string({
      required: true,
      defaultValue: "default",
      validate: boundedText(200),
      description: "The client's own profile for such jobs; 1 to 200 characters.",
    }),
    capabilityProfileId: t.string({
      validate: boundedText(200).nullish(),
      description: "The capability profile to be judged by; the kind's own where left out (section 8).",
    }),
    accessMode: t.field({
      type: AccessModeEnum,
      required: true,
      defaultValue: "ANALYSIS_ONLY",
      description: "What it may do to entities.",
    }),
    safetyMode: t.field({
      type: SafetyModeEnum,
      required: true,
      defaultValue: "NORMAL",
      description: "How careful its worker should be.",
    }),
    modelTier: t.field({
      type: ModelTierEnum,
      required: true,
      defaultValue: "LOCAL",
      description: "Where its model runs; never changes.",
    }),
    entityRefs: t.field({
      type: [EntityRefInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "What it reads or may write; up to 1,000.",
    }),
    plannedOperations: t.field({
      type: [PlannedOperationInput],
      required: true,
      defaultValue: [],
      validate: z.array(z.unknown()).max(1000),
      description: "What it intends to do; up to 1,000.",
    }),
    jobInputs: t.field({
      type: "JSON",
      validate: boundedJson(DOCUMENT_BYTES),
      description: "What to work on; up to 4,000,000 bytes. Every text in it is guarded before a worker gets it.",
    }),
    parentJobId: t.field({
      type: "UUID",
      description:
        "The job that it is a child of, which has not ended. It gets its parent's traceId, and is poisoned with it; " +
        `the job at the top of a tree has at most ${MAX_DESCENDANTS.toLocaleString("en")} descendants.`,
    }),
    priority: t.int({ required: true, defaultValue: 0, description: "Higher is taken first." }),
    runAfter: t.field({ type: "DateTime", description: "Not to be taken before this moment." }),
    maxAttempts: t.int({
      required: true,
      defaultValue: 3,
      validate: z.int().min(1).max(100),
      description: "How often it may be taken by policy; 1 to 100.",
    }),
    tokenBudget: t.field({
      type: "SafeInt",
      description:
        "Tokens that it may cost; the report that goes beyond them is recorded, and fails the job (ACE-001).",
    }),
    idempotencyKey: t.string({
      validate: boundedText(200).nullish(),
      description:
        "Makes a repeated submit give the same job back; 1 to 200 characters, per workspace, kept as the job is.",
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
      deduplicated: t.exposeBoolean("deduplicated", { description: "An earlier submit with this key made the job." }),
    }),
  });

builder.mutationField("submitAiJob", (t) =>
  t.errorUnionField({
    description:
      "Stores a job as QUEUED; or as FAILED where its capability profile does not suffice (section 6). Refused where " +
      "the parent that it names has ended or is poisoned.",
    types: [
      SubmitAiJobPayload,
      ...errorTypes<
        | errors.CapabilityDeniedError
        | errors.UnknownCapabilityError
        | errors.IdempotencyConflictError
        | errors.NotFoundError
        | errors.IllegalTransitionError
        | errors.JobPoisonedError
        | errors.BudgetExceededError,
        errors.InvalidInputError
      >()(
        errors.InvalidInputError,
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
    union: { description: "What came of submitAiJob." },
    args: { input: t.arg({ type: SubmitAiJobInput, required: true, description: "The job." }) },
    resolve: async (_root, { input }, { engine, viewer }) =>
      orThrow(
        await submitAiJob(engine, viewer.workspaceId, viewer.actor, {
          ...input,
          entityRefs: input.entityRefs.map(refOf),
          plannedOperations: input.plannedOperations.map(({ opType, target, description }) => ({
            opType,
            target: refOf(target),
            description: description ?? undefined,
          })),
          capabilityProfileId: input.capabilityProfileId ?? null,
          jobInputs: input.jobInputs ?? null,
          parentJobId: input.parentJobId ?? null,
          runAfter: input.runAfter ?? null,
          tokenBudget: input.tokenBudget ?? null,
          idempotencyKey: input.idempotencyKey ?? null,
        }),
      ),
  }),
);
