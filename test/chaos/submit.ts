import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type Client, codeOf, Surprise } from "./client.ts";
import type { PlannedJob } from "./plan.ts";

const SUBMIT = `mutation ($input: SubmitAiJobInput!) { answer: submitAiJob(input: $input) {
  __typename ... on SubmitAiJobPayload { job { jobId } } ... on Error { code message } } }`;
const CANCEL = `mutation ($input: CancelAiJobInput!) { answer: cancelAiJob(input: $input) {
  __typename ... on Error { code message } } }`;

const submitted = z.object({ job: z.object({ jobId: z.string() }) });

/** Longer than anything is down. */
const PATIENCE = { totalMs: 400_000 };

/**
 * Submits jobs at their moments, and cancels those that are to be cancelled.
 * @returns the jobs whose cancellation was answered with a yes.
 */
export async function submitJobs(client: Client, jobs: readonly PlannedJob[]): Promise<readonly string[]> {
  const start = performance.now();
  const waiting = jobs.toSorted((a, b) => a.at - b.at).values();
  const cancelling: Promise<string | null>[] = [];
  // Ten people at their desks, who take the next job of one pile.
  const submitter = async () => {
    for (const { at, input, cancelAfter } of waiting) {
      await sleep(Math.max(0, at - (performance.now() - start)));
      const answer = await client.ask(SUBMIT, input, undefined, PATIENCE);
      if (codeOf(answer) !== null) throw new Surprise(JSON.stringify(answer));
      const { jobId } = submitted.parse(answer).job;
      if (cancelAfter !== null) cancelling.push(cancel(client, jobId, cancelAfter));
    }
  };
  await Promise.all(Array.from({ length: 10 }, submitter));
  return (await Promise.all(cancelling)).filter((jobId) => jobId !== null);
}

async function cancel(client: Client, jobId: string, after: number): Promise<string | null> {
  await sleep(after);
  const answer = await client.ask(CANCEL, { jobId, reason: "not needed any more" }, undefined, PATIENCE);
  const code = codeOf(answer);
  if (code !== null && code !== "ILLEGAL_TRANSITION" && code !== "JOB_POISONED") {
    throw new Surprise(JSON.stringify(answer));
  }
  return code === null ? jobId : null;
}
