import { setTimeout } from "node:timers/promises";
import { hasEnded, type JobClient } from "@ai-job-server/sdk/client";

/** How long the person reads the report, in milliseconds. */
const READING_MS = 500;

/** Plays the person: watches the research to its end, and says yes when it asks. The page shows the same to real ones. */
export async function watchAndAnswer(client: JobClient, jobId: string, signal: AbortSignal): Promise<void> {
  const answered = new Set<string>();
  for await (const { state, job } of client.watchJob(jobId, { signal })) {
    const request = job.userInputRequest;
    if (request && !answered.has(request.requestId)) {
      const { requestId, question } = request;
      answered.add(requestId);
      console.log(`The research asks: ${question}`);
      await setTimeout(READING_MS);
      await client.answer(jobId, { send: true }, { requestId });
      console.log('A person answers: {"send": true}');
    }
    if (hasEnded({ state })) return;
  }
}

/** Waits until a run of the research puts out its first words. */
export async function firstWords(client: JobClient, jobId: string, signal: AbortSignal): Promise<void> {
  for await (const { text } of client.output(jobId, { signal })) if (text !== "") return;
}
