import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type Client, codeOf, NoAnswerError, UnexpectedAnswerError } from "./client.ts";
import { type Random, randomInt } from "./plan.ts";

/** The person whom workers ask: looks for questions, and decides on each of them, or not. */

const QUESTIONS = `query ($input: AiJobFilter!) { answer: aiJobs(first: 100, filter: $input) {
  nodes { jobId userInputRequest { requestId question options expiresAt } } } }`;
const DECIDE = `mutation ($input: ResolveUserReviewInput!) { answer: resolveUserReview(input: $input) {
  __typename ... on Error { code message } } }`;

const question = z.object({
  requestId: z.string(),
  question: z.string(),
  options: z.array(z.string()),
  expiresAt: z.string().nullable(),
});
const questions = z.object({
  nodes: z.array(z.object({ jobId: z.string(), userInputRequest: question.nullable() })),
});

/** A decision that was sent. */
export interface Decision {
  readonly jobId: string;
  readonly requestId: string;
  /** What was answered; null where the job was cancelled. */
  readonly answer: string | null;
  readonly isConfirmed: boolean;
}

/** Longer than all servers can be down. */
const LIMITS = { totalMs: 400_000 };

/** Decides on each question once, until it is stopped. @returns the decisions. */
export async function decideQuestions(
  client: Client,
  random: Random,
  signal: AbortSignal,
): Promise<readonly Decision[]> {
  const decided = new Map<string, Promise<Decision | null>>();
  while (!signal.aborted) {
    for (const { jobId, userInputRequest } of await openQuestions(client)) {
      if (userInputRequest === null || decided.has(userInputRequest.requestId)) continue;
      decided.set(userInputRequest.requestId, decide(client, random, jobId, userInputRequest));
    }
    await sleep(100);
  }
  return (await Promise.all(decided.values())).filter((decision) => decision !== null);
}

async function openQuestions(client: Client) {
  try {
    const answer = await client.ask(QUESTIONS, { states: ["AWAITING_USER"] }, undefined, LIMITS);
    return questions.parse(answer).nodes;
  } catch (error) {
    if (error instanceof NoAnswerError) return [];
    throw error;
  }
}

async function decide(
  client: Client,
  random: Random,
  jobId: string,
  { requestId, question, options, expiresAt }: z.infer<typeof questions>["nodes"][number]["userInputRequest"] & object,
): Promise<Decision | null> {
  if (question.includes("unanswered")) return null;
  const isCancelled = question.includes("cancelled");
  const aboutTheEnd = expiresAt === null ? 0 : Date.parse(expiresAt) - Date.now() - 750;
  const answer = isCancelled ? null : (options[randomInt(random, 0, options.length - 1)] ?? randomUUID());
  await sleep(Math.max(0, aboutTheEnd) + randomInt(random, 0, 1500));
  const input = isCancelled ? { decision: "CANCEL" } : { decision: "ANSWER", answer };
  const result = await client.ask(DECIDE, { jobId, requestId, ...input }, undefined, LIMITS);
  const code = codeOf(result);
  // The question was open no more: answered by this call's first try, out of time, or its job has ended.
  if (code !== null && !["ILLEGAL_TRANSITION", "INVALID_INPUT", "JOB_POISONED"].includes(code))
    throw new UnexpectedAnswerError(JSON.stringify(result));
  return { jobId, requestId, answer, isConfirmed: code === null };
}
