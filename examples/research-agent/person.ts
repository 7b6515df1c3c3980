import { setTimeout } from "node:timers/promises";
import { hasEnded } from "../../src/jobs/state.ts";
import { type Api, send, untilHeard } from "../client.ts";
import { follow } from "./follow.ts";
import { AnswerQuestion, PartialOutput, ResearchChanges } from "./watch-operations.ts";

/** How long the person reads the report, in milliseconds. */
const READING_MS = 500;

/** Plays the person: watches the research to its end, and says yes when it asks. The page shows the same to real ones. */
export async function watchAndAnswer(api: Api, jobId: string, signal: AbortSignal): Promise<void> {
  const answered = new Set<string>();
  for await (const { state, job } of follow(api, ResearchChanges, { jobId }, signal)) {
    const request = job.userInputRequest;
    if (request && !answered.has(request.requestId)) {
      answered.add(request.requestId);
      console.log(`The research asks: ${request.question}`);
      await setTimeout(READING_MS);
      await answer(api, jobId, request.requestId);
      console.log('A person answers: {"send": true}');
    }
    if (hasEnded(state)) return;
  }
}

async function answer(api: Api, jobId: string, requestId: string): Promise<void> {
  const input = { jobId, requestId, decision: "ANSWER", answer: { send: true } } as const;
  const result = await untilHeard(async () => (await send(api, AnswerQuestion, { input })).resolveUserReview);
  if (result.__typename !== "ResolveUserReviewPayload") throw new Error(`${result.code}: ${result.message}`);
}

/** Waits until a run of the research puts out its first words. */
export async function firstWords(api: Api, jobId: string, signal: AbortSignal): Promise<void> {
  for await (const { text } of follow(api, PartialOutput, { jobId }, signal)) if (text !== "") return;
}
