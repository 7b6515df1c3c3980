import type { Claim } from "../../src/claims/acquire-lease.ts";
import type { EngineContext } from "../../src/engine.ts";
import { AppError } from "../../src/errors.ts";
import { NO_METRICS } from "../../src/jobs/metrics.ts";
import { type AdvanceWorkflow, advanceWorkflow } from "../../src/runs/advance.ts";
import { type RequestUserInput, requestUserInput } from "../../src/runs/ask.ts";
import { completeWorkflows } from "../../src/runs/complete.ts";
import type { Completion } from "../../src/runs/completion.ts";
import { failWorkflows } from "../../src/runs/fail.ts";
import type { Failure, FailureError } from "../../src/runs/failure.ts";
import { type GiveBack, type GiveBackError, releaseWorkflows } from "../../src/runs/give-back.ts";
import { type Heartbeat, heartbeatWorkflows } from "../../src/runs/heartbeat.ts";
import type { ReleaseAnswer } from "../../src/runs/release-calls.ts";
import type { Step } from "../../src/runs/steps.ts";
import { aSnippet, aStep, ok } from "./engine.ts";

/** The reports of a worker, with defaults for all that a test does not name. */

const proofOf = ({ run, leaseToken }: Claim) => ({ workflowRunId: run.id, leaseToken });

export function aHeartbeat(claim: Claim, more: Partial<Heartbeat> = {}): Heartbeat {
  return { ...proofOf(claim), leaseSeconds: 60, metrics: NO_METRICS, ...more };
}

export function aCompletion(claim: Claim, more: Partial<Completion> = {}): Completion {
  const defaults = { jobOutputs: { summary: "short" }, writtenEntities: [], issues: [], metrics: NO_METRICS };
  return { ...proofOf(claim), ...defaults, ...more };
}

export function aFailure(claim: Claim, more: Partial<Failure> = {}): Failure {
  return { ...proofOf(claim), errorMessage: "out of memory", retryable: true, metrics: NO_METRICS, ...more };
}

export function aGiveBack(claim: Claim, more: Partial<GiveBack> = {}): GiveBack {
  return { ...proofOf(claim), reason: "deploy", metrics: NO_METRICS, ...more };
}

export function aQuestion(claim: Claim, more: Partial<RequestUserInput> = {}): RequestUserInput {
  const defaults = { question: "Send it?", payload: null, options: [], answerSchema: null, metrics: NO_METRICS };
  return { ...proofOf(claim), ...defaults, ...more };
}

/** Gives one job back. */
export async function releaseWorkflow(
  engine: EngineContext,
  giveBack: GiveBack,
): Promise<ReleaseAnswer<GiveBackError>> {
  const [answer] = await releaseWorkflows(engine, [giveBack]);
  if (!answer) throw new Error("Each release must have an answer.");
  return answer;
}

/** Sends one failure. */
export async function failWorkflow(engine: EngineContext, failure: Failure): Promise<ReleaseAnswer<FailureError>> {
  const [answer] = await failWorkflows(engine, [failure]);
  if (!answer) throw new Error("Each failure must have an answer.");
  return answer;
}

/** What a test can set in every sort of report. */
export type More = Pick<Partial<Heartbeat>, "reportId" | "metrics" | "leaseToken">;

/** A sort of report. */
export interface Sort {
  readonly report: string;
  /** The state that the report leads to, which a refusal names. */
  readonly to: string;
  /** Sends what must be reported before. */
  readonly prepare?: (engine: EngineContext, claim: Claim) => Promise<unknown>;
  /** Sends the report. @returns the error, or the result. */
  readonly send: (engine: EngineContext, claim: Claim, more?: More) => Promise<unknown>;
}

function stepWith(claim: Claim, step: Partial<Step>, more: More): AdvanceWorkflow {
  return { ...aStep(claim, "n", step), ...more };
}

/** All sorts of reports. */
export const SORTS: readonly Sort[] = [
  {
    report: "a heartbeat",
    to: "RUNNING",
    send: async (engine, claim, more = {}) => {
      const [answer] = await heartbeatWorkflows(engine, [aHeartbeat(claim, more)]);
      return answer?.error ?? answer;
    },
  },
  {
    report: "a step that starts",
    to: "RUNNING",
    send: (engine, claim, more = {}) => advanceWorkflow(engine, stepWith(claim, {}, more)),
  },
  {
    report: "a step that starts, with snippets",
    to: "RUNNING",
    send: (engine, claim, more = {}) => {
      const retrievedSnippets = [aSnippet("harmless")];
      return advanceWorkflow(engine, { ...stepWith(claim, {}, more), retrievedSnippets });
    },
  },
  {
    report: "a step that ends",
    to: "RUNNING",
    prepare: async (engine, claim) => ok(await advanceWorkflow(engine, aStep(claim, "n"))),
    send: (engine, claim, more = {}) => {
      const step = { outcome: "SUCCEEDED" as const, outputPayload: { words: 7 } };
      return advanceWorkflow(engine, stepWith(claim, step, more));
    },
  },
  {
    report: "a completion",
    to: "COMPLETED",
    send: async (engine, claim, more = {}) => (await completeWorkflows(engine, [aCompletion(claim, more)]))[0],
  },
  {
    report: "a completion that asks for a verdict",
    to: "AWAITING_VALIDATION",
    send: async (engine, claim, more = {}) =>
      (await completeWorkflows(engine, [aCompletion(claim, { ...more, needsValidation: true })]))[0],
  },
  {
    report: "a failure that is tried again",
    to: "FAILED",
    send: (engine, claim, more = {}) => failWorkflow(engine, aFailure(claim, more)),
  },
  {
    report: "a failure for good",
    to: "FAILED",
    send: (engine, claim, more = {}) => failWorkflow(engine, aFailure(claim, { ...more, retryable: false })),
  },
  {
    report: "a release",
    to: "QUEUED",
    send: (engine, claim, more = {}) => releaseWorkflow(engine, aGiveBack(claim, more)),
  },
  {
    report: "a question",
    to: "AWAITING_USER",
    send: (engine, claim, more = {}) => requestUserInput(engine, aQuestion(claim, more)),
  },
];

/** The outcome of a report in words: "done", or the error code with its directive. */
export function reportOutcome(answer: unknown): string {
  if (!(answer instanceof AppError)) return "done";
  return answer.directive === null ? answer.code : `${answer.code} ${answer.directive}`;
}
