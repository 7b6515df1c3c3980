import type { AiJob, UserInputRequest } from "../db/generated/client/client.ts";
import type { JsonValue } from "../db/rows.ts";
import { inTransaction, readWithRetry, type Transaction } from "../db/transaction.ts";
import type { EngineContext } from "../engine.ts";
import { AppError, InvalidInputError } from "../errors.ts";
import type { LockedJob } from "../jobs/lock.ts";
import type { Actor } from "../log/event.ts";
import { faultOfAnswer } from "../runs/answer-schema.ts";
import { answerCte, readOpenQuestion } from "../runs/questions.ts";
import {
  type AwaitingJob,
  acceptOutputs,
  applyDecision,
  type Decision,
  type DecisionError,
  lockAwaitingJob,
} from "./decision.ts";
import { timeOut, tooLateError } from "./user-input-timeout.ts";

/** The decisions that a person can make on a job that is AWAITING_USER, with their GraphQL descriptions. */
export const REVIEW_DECISIONS = {
  ACCEPT: "The outputs are good: the job is COMPLETED. Open where the job waits for USER_REVIEW.",
  ACCEPT_WITH_ISSUES:
    "The outputs are usable: the job is COMPLETED_WITH_ISSUES. Open where the job waits for USER_REVIEW.",
  REVISE:
    "The work must be redone: the job is QUEUED, at first reserved for the same worker; the attempt is not charged to maxAttempts. " +
    "Open where the job waits for USER_REVIEW.",
  CANCEL: "The work is no longer wanted: the job is CANCELLED. Always open.",
  ANSWER:
    "The answer to the worker's question: the job is QUEUED, at first reserved for the same worker, whose claim brings it; the attempt is " +
    "not charged to maxAttempts. Open where the job waits for USER_INPUT.",
} as const;

type ReviewDecision = keyof typeof REVIEW_DECISIONS;

/** A person's decision on one job. */
export interface ResolveUserReview {
  readonly jobId: string;
  readonly decision: ReviewDecision;
  readonly comment: string | null;
  /** Only with ANSWER, and required there. */
  readonly answer?: JsonValue | undefined;
  /** The question that is meant; null, as left out: the one that is open. */
  readonly requestId?: string | null | undefined;
}

/** The state that each decision moves the job to. */
const TARGET_STATES = {
  ACCEPT: "COMPLETED",
  ACCEPT_WITH_ISSUES: "COMPLETED_WITH_ISSUES",
  REVISE: "QUEUED",
  CANCEL: "CANCELLED",
  ANSWER: "QUEUED",
} as const satisfies Record<ReviewDecision, string>;

/** Which decisions are open, by what the job waits for (section 13). The database has the same table (`ai_job_wait_allowed`). */
const OPEN_DECISIONS = {
  USER_REVIEW: ["ACCEPT", "ACCEPT_WITH_ISSUES", "REVISE", "CANCEL"],
  USER_INPUT: ["ANSWER", "CANCEL"],
} as const satisfies Record<string, readonly ReviewDecision[]>;

/** Why a person's decision was not applied. */
export type ReviewError = DecisionError | InvalidInputError;

/**
 * Applies a person's decision to a job that is AWAITING_USER (sections 6 and 13). An answer is checked by its question's schema first,
 * outside the transaction, in which the question must still be the same.
 * @returns the job as it is stored, or why the decision was not applied.
 * @throws TryAgainError when the database rolled the transaction back too often; nothing is stored.
 */
export async function resolveUserReview(
  engine: EngineContext,
  workspaceId: string,
  by: Actor,
  input: ResolveUserReview,
): Promise<AiJob | ReviewError> {
  const shapeFault = faultOfShape(input);
  if (shapeFault) return shapeFault;
  const question = input.decision === "ANSWER" ? await questionOf(engine, workspaceId, input.jobId) : undefined;
  const answerFault = question && (await faultOfAnswerTo(question, input));
  if (answerFault) return answerFault;
  return inTransaction(engine, [workspaceId], (tx) => decide(tx, engine, workspaceId, by, input, question));
}

function questionOf({ prisma }: EngineContext, workspaceId: string, jobId: string) {
  return readWithRetry([workspaceId], () => readOpenQuestion(prisma, workspaceId, jobId));
}

function faultOfShape({ decision, answer = null }: ResolveUserReview): InvalidInputError | null {
  if (decision === "ANSWER")
    return answer === null ? new InvalidInputError(["input", "answer"], "ANSWER needs an answer.") : null;
  return answer === null
    ? null
    : new InvalidInputError(["input", "answer"], `Only ANSWER takes an answer, and ${decision} none.`);
}

/** @returns why the question cannot be answered so; null where it can. */
async function faultOfAnswerTo(
  { requestId, options, answerSchema }: UserInputRequest,
  { answer = null, requestId: meant = requestId }: ResolveUserReview,
): Promise<InvalidInputError | null> {
  if (meant !== null && meant.toLowerCase() !== requestId) return otherQuestion();
  const path = ["input", "answer"];
  if (options.length > 0 && !options.some((option) => option === answer))
    return new InvalidInputError(path, "The answer must be one of the question's options.");
  const fault = answerSchema === null ? null : await faultOfAnswer(answerSchema, answer);
  return fault && new InvalidInputError([...path, ...fault.path], fault.message);
}

function otherQuestion(): InvalidInputError {
  return new InvalidInputError(
    ["input", "requestId"],
    "The job waits for the answer to another question by now. Read it, and decide again.",
  );
}

async function decide(
  tx: Transaction,
  engine: EngineContext,
  workspaceId: string,
  by: Actor,
  { jobId, decision, comment, answer = null, requestId = null }: ResolveUserReview,
  question: UserInputRequest | undefined,
): Promise<AiJob | ReviewError> {
  const awaiting = await lockAwaitingJob(tx, workspaceId, jobId, "AWAITING_USER", TARGET_STATES[decision]);
  if (awaiting instanceof AppError) return awaiting;
  const refusal = refuseDecision(awaiting.job, decision);
  if (refusal) return refusal;
  const made: Decision = { decision, comment, by };
  switch (decision) {
    case "ACCEPT":
    case "ACCEPT_WITH_ISSUES":
      return acceptOutputs(tx, awaiting, TARGET_STATES[decision], made);
    case "REVISE":
      return applyDecision(tx, awaiting, made, {
        state: "QUEUED",
        reason: "revise",
        set: goneBack(engine, awaiting),
        endReason: "revised",
      });
    case "CANCEL":
      if (requestId !== null && !(await isOpen(tx, workspaceId, jobId, requestId))) return otherQuestion();
      return applyDecision(tx, awaiting, made, { state: "CANCELLED", set: { jobOutputs: null } });
    case "ANSWER":
      return answerQuestion(tx, engine, awaiting, made, answer, question);
  }
}

function refuseDecision({ waitsFor }: LockedJob, decision: ReviewDecision): InvalidInputError | null {
  if (waitsFor !== "USER_REVIEW" && waitsFor !== "USER_INPUT")
    throw new Error("A job that awaits a person says for what.");
  const open: readonly ReviewDecision[] = OPEN_DECISIONS[waitsFor];
  if (open.includes(decision)) return null;
  const message = `The job waits for ${waitsFor}: open are ${open.join(", ")}.`;
  return new InvalidInputError(["input", "decision"], message);
}

async function isOpen(tx: Transaction, workspaceId: string, jobId: string, requestId: string): Promise<boolean> {
  return (await readOpenQuestion(tx, workspaceId, jobId))?.requestId === requestId.toLowerCase();
}

async function answerQuestion(
  tx: Transaction,
  engine: EngineContext,
  awaiting: AwaitingJob,
  made: Decision,
  answer: JsonValue,
  question: UserInputRequest | undefined,
): Promise<AiJob | ReviewError> {
  const { job, run } = awaiting;
  // Between the look at the question and the lock, it was answered, and another run asked another one.
  if (question?.workflowRunId !== run.id) return otherQuestion();
  // The sweep has not come by yet. Whoever answers is not to wait for it.
  if (job.waitsUntil !== null && job.waitsUntil <= job.now) {
    await timeOut(tx, [job]);
    return tooLateError("QUEUED");
  }
  const { requestId } = question;
  return applyDecision(tx, awaiting, made, {
    state: "QUEUED",
    reason: "answered",
    set: goneBack(engine, awaiting),
    endReason: "answered",
    // Not the answer: raw content is never recorded (section 9).
    payload: { request_id: requestId },
    ctes: [answerCte({ requestId, answer, answeredBy: made.by.actorId, answeredAt: job.now })],
  });
}

/** What to change of a job that goes back to its worker: it is reserved for it for `revisePreferenceMs`. */
function goneBack({ revisePreferenceMs }: EngineContext, { job, run }: AwaitingJob) {
  return {
    jobOutputs: null,
    issues: [],
    runAfter: null,
    unchargedAttempts: job.unchargedAttempts + 1,
    preferredWorkerId: run.workerId,
    preferredUntil: new Date(job.now.getTime() + revisePreferenceMs),
  };
}
