/** The worker kit: createWorker, and what handlers get, throw and return. */
export { JobServerError, UnansweredError } from "../api/errors.ts";
export type {
  EntityRefInput,
  JobKind,
  ModelUsageInput,
  RetrievedSnippetInput,
  SubmitAiJobInput,
  WorkflowDirective,
} from "../api/generated.ts";
export type { ChildInput } from "./children.ts";
export type { RunContext } from "./context.ts";
export type { Handler, HandlerResult, HandlerSchemas } from "./handler.ts";
export { CannotBeDone, GivenBack, RetryAfter, Stopped, Waiting } from "./handler-errors.ts";
export type { Child, ClaimedJob } from "./job.ts";
export type { Stored } from "./json.ts";
export type { StepMetrics, TokenRole } from "./metrics.ts";
export { usageOf } from "./model-usage.ts";
export type { AskOptions } from "./questions.ts";
export type { Ending } from "./run.ts";
export { runOnce } from "./run-once.ts";
export type { StandardSchema } from "./standard-schema.ts";
export type { PriceOf, StepContext, StepOptions } from "./steps.ts";
export { createWorker, type DoneJob, type Worker, type WorkerOptions } from "./worker.ts";
