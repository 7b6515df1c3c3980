import type { WorkerAdvanceMutation, WorkerCompleteMutation, WorkflowDirective } from "../../test/generated/graphql.ts";

/** The server told the worker to stop this run: its results are discarded, and nothing more is reported. */
export class Stopped extends Error {
  override readonly name = "Stopped";
  readonly directive: WorkflowDirective;
  constructor(directive: WorkflowDirective, message: string = directive) {
    super(message);
    this.directive = directive;
  }
}

/** The worker is to stop, and gives its job back. */
export class Leaving extends Error {
  override readonly name = "Leaving";
}

/** This job cannot be done: another attempt would fail in the same way. */
export class Impossible extends Error {
  override readonly name = "Impossible";
}

type Completions = Extract<WorkerCompleteMutation["completeWorkflows"], { __typename: "CompleteWorkflowsPayload" }>;
type Answer =
  | WorkerAdvanceMutation["advanceWorkflow"]
  | Exclude<WorkerCompleteMutation["completeWorkflows"], Completions>
  | Completions["results"][number];

/**
 * What the answer to a report means for the worker: an error to end the run with, or null to go on. The switch has no
 * `default`, so that a new answer does not compile until it is handled.
 */
export function refusalOf(answer: Answer): Error | null {
  switch (answer.__typename) {
    case "AdvanceWorkflowPayload":
      return answer.directive === "CONTINUE" ? null : new Stopped(answer.directive);
    case "CompletedWorkflow":
      return null;
    case "JobPoisoned":
      return new Stopped("STOP_POISONED");
    case "JobPoisonedError":
    case "LeaseLostError":
    case "IllegalTransitionError":
    case "AccessModeViolationError":
    case "BudgetExceededError":
    case "CapabilityDeniedError":
      return new Stopped(answer.stop ?? "STOP_FAILED", answer.message);
    case "InvalidInputError":
      return new Impossible(answer.message);
    case "GuardFailedError":
    case "TryAgainError":
      return new Error(answer.message);
  }
}

/** The message of an error, in a length and form that the server accepts. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.slice(0, 2000).toWellFormed().replaceAll("\0", "") || "It failed without a word.";
}
