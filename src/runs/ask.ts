import { uuidv7 } from "uuidv7";
import type { UserInputRequest } from "../db/generated/client/client.ts";
import type { JobSummary } from "../db/job-columns.ts";
import type { JsonValue } from "../db/rows.ts";
import { inTransaction, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import {
  type AccessModeViolationError,
  AppError,
  type BudgetExceededError,
  type GuardFailedError,
  InvalidInputError,
  type TryAgainError,
} from "../errors.ts";
import { countGuards, type MetricsDelta } from "../jobs/metrics.ts";
import { transitionTo } from "../jobs/state.ts";
import { costPayload } from "../jobs/usage/ledger.ts";
import { workerOf } from "../log/event.ts";
import type { GuardedSource } from "../security/guards/guard.ts";
import type { PoisonedJob } from "../security/poison.ts";
import type { ReportRefusal } from "./admission.ts";
import { faultOfAnswerSchema } from "./answer-schema.ts";
import { guardReports } from "./guard-reports.ts";
import { lockJobsOfRuns, type RunUnderJobLock, scopeOfReports } from "./lock.ts";
import { assessReport } from "./policy.ts";
import { readQuestion } from "./questions.ts";
import { admitRelease, applyReleases, type ReleaseDecision, violationDecision } from "./release.ts";
import { hashIfLarge, type Report } from "./report.ts";

/** A worker's question to a person (requestUserInput, section 13). Its run ends with it. */
export interface RequestUserInput extends Report {
  readonly question: string;
  readonly payload: JsonValue;
  /** The answers to choose from; empty: any. */
  readonly options: readonly string[];
  /** The JSON Schema that an answer must meet; null for none. */
  readonly answerSchema: JsonValue;
  /** When the job fails without an answer; null, as left out: never. */
  readonly expiresAt?: Date | null | undefined;
  readonly metrics: MetricsDelta;
}

/** The answer to a question that is stored. */
export interface Asked {
  readonly job: JobSummary;
  readonly request: UserInputRequest;
}

type AskError = ReportRefusal | InvalidInputError | AccessModeViolationError | BudgetExceededError;

/** Why a question was not asked. */
export type RequestUserInputError = AskError | GuardFailedError | TryAgainError;

/**
 * Asks a person: the job is AWAITING_USER, and its run loses its lease. All that the question brings is guarded before anything of it
 * is kept.
 * @returns the job with its question; the job, when a guard poisoned it; or why nothing was asked.
 * @throws TryAgainError when the database rolled the transaction back too often, or too much large content waits for guards; nothing is
 * stored.
 */
export async function requestUserInput(
  engine: EngineContext,
  input: RequestUserInput,
): Promise<Asked | PoisonedJob | RequestUserInputError> {
  const fault = input.answerSchema === null ? null : await faultOfAnswerSchema(input.answerSchema);
  if (fault !== null) return new InvalidInputError(["input", "answerSchema"], fault);
  await hashIfLarge(engine, input);
  const [guarded] = await guardReports(engine, [{ report: input, sources: sourcesOf(input), to: "AWAITING_USER" }]);
  switch (guarded?.outcome) {
    case "PASSED":
      return inTransaction(engine, scopeOfReports([input]), (tx) => ask(tx, input, guarded.guardsRun));
    case "POISONED":
      return guarded.poisoned;
    case "REFUSED":
      return guarded.error;
    case undefined:
      throw new Error("Each report is guarded.");
  }
}

function sourcesOf({ question, payload, options, answerSchema }: RequestUserInput): readonly GuardedSource[] {
  return Object.entries({ question, payload, options, answerSchema }).map(([path, value]) => {
    return { sourceId: null, path, value };
  });
}

async function ask(tx: Transaction, input: RequestUserInput, guardsRun: number): Promise<Asked | AskError> {
  const lockedRuns = await lockJobsOfRuns(tx, [input]);
  const item = { report: input, path: ["input"], guardsRun };
  const answers = await applyReleases(tx, [item], lockedRuns, decideQuestion);
  const answer = answers.get(item);
  if (answer === undefined) throw new Error("Each report must have an answer.");
  if (answer instanceof AppError) return answer;
  const request = await readQuestion(tx, input.workflowRunId);
  if (!request) throw new Error("A question that was asked is stored.");
  return { job: answer.job, request };
}

function decideQuestion(
  input: RequestUserInput,
  lockedRun: RunUnderJobLock | undefined,
  path: readonly string[],
  guardsRun: number,
): ReleaseDecision<AskError> {
  const admission = admitRelease(input, lockedRun, {
    to: "AWAITING_USER",
    violations: ["ACCESS_MODE_VIOLATION", "BUDGET_EXCEEDED"],
    path,
  });
  if (admission.kind !== "ADMITTED") return admission;
  const { job, run } = admission;
  const { question, payload, options, answerSchema, expiresAt = null } = input;
  const isOver = expiresAt !== null && expiresAt <= job.now;
  const lateness = isOver ? new InvalidInputError([...path, "expiresAt"], "Give a time that is yet to come.") : null;
  const assessment = assessReport(job, input, path, lateness);
  if (assessment.kind === "REFUSED") return assessment;
  const violating = { job, run, report: input };
  if (assessment.kind === "VIOLATION") return violationDecision({ ...violating, violation: assessment.violation });
  const { overBudget } = assessment;
  const metrics = { ...assessment.metrics, ...countGuards(assessment.metrics, guardsRun) };
  if (overBudget) return violationDecision({ ...violating, violation: overBudget, metrics });
  const requestId = uuidv7();
  const wait = { waitsFor: "USER_INPUT", waitsUntil: expiresAt } as const;
  return {
    kind: "ACCEPTED",
    report: input,
    run,
    release: { id: run.id, state: "AWAITING_USER", errorMessage: null, finishedAt: null, endReason: null },
    question: {
      requestId,
      workspaceId: job.workspaceId,
      jobId: job.jobId,
      workflowRunId: run.id,
      question,
      payload,
      options: [...options],
      answerSchema,
      expiresAt,
      askedAt: job.now,
      answer: null,
      answeredBy: null,
      answeredAt: null,
    },
    change: {
      job,
      set: { ...metrics, ...transitionTo(job, "AWAITING_USER", "user_input_requested", wait), errorMessage: null },
      event: {
        type: "STATE_CHANGED",
        by: workerOf(run),
        // Not the question: raw content is never recorded (section 9).
        payload: { reason: "user_input_requested", request_id: requestId, ...costPayload(input.metrics) },
      },
    },
  };
}
