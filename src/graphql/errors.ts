import * as errors from "../errors.ts";
import { builder } from "./builder.ts";
import { ErrorCodeEnum, JobStateEnum, WorkflowDirectiveEnum } from "./enums.ts";
import { AiJob } from "./types/ai-job.ts";
import { withDocuments } from "./types/relations.ts";

/** One object type for each code that a mutation can answer with, named after it. */

/** Executors take every Error among the values for a failure of its field; a copy that is none is shown. */
export function toPlainError(error: errors.AppError): errors.AppError {
  const { code, name, message } = error;
  const answer = Object.assign({ code, name, message }, error);
  answers.set(answer, error.constructor);
  return answer;
}

/** Which error an answer is a copy of. */
const answers = new WeakMap<object, unknown>();

function isAnswer(type: abstract new (...args: never[]) => errors.AppError) {
  return (value: unknown) =>
    value instanceof type || (typeof value === "object" && value !== null && answers.get(value) === type);
}

const code = "Which error this is.";
const directive = "What the worker must do now.";

export const ErrorInterface = builder.interfaceRef<errors.AppError>("Error").implement({
  description: "An answer that is not what was asked for. Nothing was changed, unless the type says otherwise.",
  fields: (t) => ({
    code: t.field({ type: ErrorCodeEnum, description: code, resolve: (error) => error.code }),
    message: t.exposeString("message", { description: "For people: what happened, and what to do." }),
  }),
});

builder.objectType(errors.NotFoundError, {
  name: "NotFoundError",
  isTypeOf: isAnswer(errors.NotFoundError),
  description: errors.ERROR_CODES.NOT_FOUND,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.InvalidInputError, {
  name: "InvalidInputError",
  isTypeOf: isAnswer(errors.InvalidInputError),
  description: errors.ERROR_CODES.INVALID_INPUT,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    path: t.stringList({
      description: "Path of the offending field, such as input.metrics.inputTokens.",
      resolve: (error) => [...error.path],
    }),
  }),
});

builder.objectType(errors.IllegalTransitionError, {
  name: "IllegalTransitionError",
  isTypeOf: isAnswer(errors.IllegalTransitionError),
  description: errors.ERROR_CODES.ILLEGAL_TRANSITION,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    from: t.expose("from", {
      type: JobStateEnum,
      description: "The state that the job is in; for submitAiJob, its parent.",
    }),
    to: t.expose("to", { type: JobStateEnum, description: "The state that this call would have brought it to." }),
    directive: t.expose("directive", {
      type: WorkflowDirectiveEnum,
      nullable: true,
      description: `${directive} Null where no worker asked.`,
    }),
  }),
});

builder.objectType(errors.JobPoisonedError, {
  name: "JobPoisonedError",
  isTypeOf: isAnswer(errors.JobPoisonedError),
  description: `${errors.ERROR_CODES.JOB_POISONED} (JobPoisoned: by this call.)`,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    directive: t.expose("directive", { type: WorkflowDirectiveEnum, description: directive }),
    job: t.field({
      type: AiJob,
      description: "The job as it is; for submitAiJob, its parent.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
  }),
});

builder.objectType(errors.LeaseLostError, {
  name: "LeaseLostError",
  isTypeOf: isAnswer(errors.LeaseLostError),
  description: errors.ERROR_CODES.LEASE_LOST,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    directive: t.expose("directive", { type: WorkflowDirectiveEnum, description: directive }),
  }),
});

builder.objectType(errors.CapabilityDeniedError, {
  name: "CapabilityDeniedError",
  isTypeOf: isAnswer(errors.CapabilityDeniedError),
  description: `${errors.ERROR_CODES.CAPABILITY_DENIED} The denial is on record, and the job is FAILED.`,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    missingCapability: t.exposeString("missingCapability", { description: "The capability that the profile lacks." }),
    job: t.field({
      type: AiJob,
      description: "The job, kept as FAILED.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
  }),
});

builder.objectType(errors.UnknownCapabilityError, {
  name: "UnknownCapabilityError",
  isTypeOf: isAnswer(errors.UnknownCapabilityError),
  description: errors.ERROR_CODES.UNKNOWN_CAPABILITY,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.AccessModeViolationError, {
  name: "AccessModeViolationError",
  isTypeOf: isAnswer(errors.AccessModeViolationError),
  description: `${errors.ERROR_CODES.ACCESS_MODE_VIOLATION} The run has failed; nothing of the report was applied.`,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    directive: t.expose("directive", { type: WorkflowDirectiveEnum, description: directive }),
  }),
});

builder.objectType(errors.BudgetExceededError, {
  name: "BudgetExceededError",
  isTypeOf: isAnswer(errors.BudgetExceededError),
  description: errors.ERROR_CODES.BUDGET_EXCEEDED,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    freesAt: t.expose("freesAt", {
      type: "DateTime",
      nullable: true,
      description: "When a quota has room again; null for a token budget, and where nobody can tell.",
    }),
    directive: t.expose("directive", {
      type: WorkflowDirectiveEnum,
      nullable: true,
      description: `${directive} Null where no worker asked.`,
    }),
  }),
});

builder.objectType(errors.IdempotencyConflictError, {
  name: "IdempotencyConflictError",
  isTypeOf: isAnswer(errors.IdempotencyConflictError),
  description: errors.ERROR_CODES.IDEMPOTENCY_CONFLICT,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.GuardFailedError, {
  name: "GuardFailedError",
  isTypeOf: isAnswer(errors.GuardFailedError),
  description: errors.ERROR_CODES.GUARD_FAILED,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    guardName: t.exposeString("guardName", { description: "The guard that could not decide." }),
  }),
});

builder.objectType(errors.TryAgainError, {
  name: "TryAgainError",
  isTypeOf: isAnswer(errors.TryAgainError),
  description: errors.ERROR_CODES.TRY_AGAIN,
  interfaces: [ErrorInterface],
});
