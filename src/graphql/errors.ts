import * as errors from "../errors.ts";
import { builder } from "./builder.ts";
import { ErrorCodeEnum, JobStateEnum, WorkflowDirectiveEnum } from "./enums.ts";
import { AiJob } from "./types/ai-job.ts";
import { withDocuments } from "./types/relations.ts";

/** One object type for each error that a mutation can answer with. Each is named after its code. */

/**
 * Makes an error into a value that a field can return. GraphQL executors treat every instance of Error that a resolver
 * returns as a failure of its field, and the answer would be a masked error.
 * @returns a copy with the same fields that is no instance of Error.
 */
export function toPlainError(error: errors.AppError): errors.AppError {
  const { code, name, message } = error;
  const copy = Object.assign({ code, name, message }, error);
  classOfCopy.set(copy, error.constructor);
  return copy;
}

/** The error class that a copy was made from. */
const classOfCopy = new WeakMap<object, unknown>();

function isErrorOf(type: abstract new (...args: never[]) => errors.AppError) {
  return (value: unknown) =>
    value instanceof type || (typeof value === "object" && value !== null && classOfCopy.get(value) === type);
}

export const ErrorInterface = builder.interfaceRef<errors.AppError>("Error").implement({
  description: "The request was not carried out. Nothing was changed, unless the type's description says otherwise.",
  fields: (t) => ({
    code: t.field({ type: ErrorCodeEnum, description: "The error's code.", resolve: (error) => error.code }),
    message: t.exposeString("message", { description: "For human readers: what happened, and what to do." }),
    directive: t.field({
      type: WorkflowDirectiveEnum,
      nullable: true,
      description:
        "What the worker must do now. Null if the caller is no worker, and if the error does not end the worker's run " +
        "(section 6).",
      resolve: (error) => error.directive,
    }),
  }),
});

builder.objectType(errors.NotFoundError, {
  name: "NotFoundError",
  isTypeOf: isErrorOf(errors.NotFoundError),
  description: errors.ERROR_CODES.NOT_FOUND,
  interfaces: [ErrorInterface],
});

const InputIssue = builder.objectRef<errors.InputIssue>("InputIssue").implement({
  description: "What is wrong with one value of the input.",
  fields: (t) => ({
    path: t.stringList({
      description: "The path of the value, one element for each level, such as input, metrics, inputTokens.",
      resolve: ({ path }) => [...path],
    }),
    message: t.exposeString("message", { description: "For human readers: what is accepted." }),
  }),
});

builder.objectType(errors.InvalidInputError, {
  name: "InvalidInputError",
  isTypeOf: isErrorOf(errors.InvalidInputError),
  description: `${errors.ERROR_CODES.INVALID_INPUT} As the error of a single heartbeat: the lease was renewed all the same.`,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    path: t.stringList({
      description:
        "The path of the first issue's value, one element for each level, such as input, metrics, inputTokens.",
      resolve: ({ inputPath }) => [...inputPath],
    }),
    issues: t.field({
      type: [InputIssue],
      description: "Everything that is wrong, at least one: a form can show each at its field.",
      resolve: ({ issues }) => [...issues],
    }),
  }),
});

builder.objectType(errors.IllegalTransitionError, {
  name: "IllegalTransitionError",
  isTypeOf: isErrorOf(errors.IllegalTransitionError),
  description: errors.ERROR_CODES.ILLEGAL_TRANSITION,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    from: t.expose("from", {
      type: JobStateEnum,
      description: "The state that the job is in; for submitAiJob, the state of the parent.",
    }),
    to: t.expose("to", { type: JobStateEnum, description: "The state that the call would have led to." }),
  }),
});

builder.objectType(errors.JobPoisonedError, {
  name: "JobPoisonedError",
  isTypeOf: isErrorOf(errors.JobPoisonedError),
  description: `${errors.ERROR_CODES.JOB_POISONED} If this call poisons the job, the answer is JobPoisoned instead.`,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    job: t.field({
      type: AiJob,
      description: "The poisoned job; for submitAiJob, the parent.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
  }),
});

builder.objectType(errors.LeaseLostError, {
  name: "LeaseLostError",
  isTypeOf: isErrorOf(errors.LeaseLostError),
  description: errors.ERROR_CODES.LEASE_LOST,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.CapabilityDeniedError, {
  name: "CapabilityDeniedError",
  isTypeOf: isErrorOf(errors.CapabilityDeniedError),
  description: `${errors.ERROR_CODES.CAPABILITY_DENIED} The denial is recorded, and the job has FAILED.`,
  interfaces: [ErrorInterface],
  fields: (t) => ({
    missingCapability: t.exposeString("missingCapability", { description: "The capability that the profile lacks." }),
    job: t.field({
      type: AiJob,
      description: "The job, now FAILED.",
      resolve: ({ job }, _args, context, info) => withDocuments(context, info, job),
    }),
  }),
});

builder.objectType(errors.UnknownCapabilityError, {
  name: "UnknownCapabilityError",
  isTypeOf: isErrorOf(errors.UnknownCapabilityError),
  description: errors.ERROR_CODES.UNKNOWN_CAPABILITY,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.AccessModeViolationError, {
  name: "AccessModeViolationError",
  isTypeOf: isErrorOf(errors.AccessModeViolationError),
  description: `${errors.ERROR_CODES.ACCESS_MODE_VIOLATION} The run has failed; nothing of the report was applied.`,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.BudgetExceededError, {
  name: "BudgetExceededError",
  isTypeOf: isErrorOf(errors.BudgetExceededError),
  description:
    `${errors.ERROR_CODES.BUDGET_EXCEEDED} If it answers a report, the report's metrics are kept, and run and job ` +
    "have failed.",
  interfaces: [ErrorInterface],
  fields: (t) => ({
    freesAt: t.expose("freesAt", {
      type: "DateTime",
      nullable: true,
      description:
        "When the quota's usage falls below its maximum; null for a token budget, and where the time cannot be known.",
    }),
  }),
});

builder.objectType(errors.IdempotencyConflictError, {
  name: "IdempotencyConflictError",
  isTypeOf: isErrorOf(errors.IdempotencyConflictError),
  description: errors.ERROR_CODES.IDEMPOTENCY_CONFLICT,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.GuardFailedError, {
  name: "GuardFailedError",
  isTypeOf: isErrorOf(errors.GuardFailedError),
  description:
    `${errors.ERROR_CODES.GUARD_FAILED} A DIAGNOSTIC event records it. For startWorkflow, the run has failed, and the job ` +
    "is queued again if attempts are left.",
  interfaces: [ErrorInterface],
  fields: (t) => ({
    guardName: t.exposeString("guardName", { description: "The guard because of which the content was refused." }),
  }),
});

builder.objectType(errors.TryAgainError, {
  name: "TryAgainError",
  isTypeOf: isErrorOf(errors.TryAgainError),
  description: errors.ERROR_CODES.TRY_AGAIN,
  interfaces: [ErrorInterface],
});

builder.objectType(errors.ForbiddenError, {
  name: "ForbiddenError",
  isTypeOf: isErrorOf(errors.ForbiddenError),
  description: errors.ERROR_CODES.FORBIDDEN,
  interfaces: [ErrorInterface],
});
