import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { type Answer, type Client, codeOf, UnexpectedAnswerError } from "./client.ts";
import type { PlannedJob } from "./plan.ts";

const SUBMIT = `mutation ($input: SubmitAiJobInput!) { answer: submitAiJob(input: $input) {
  __typename ... on SubmitAiJobPayload { job { jobId } } ... on Error { code message } } }`;
const CANCEL = `mutation ($input: CancelAiJobInput!) { answer: cancelAiJob(input: $input) {
  __typename ... on Error { code message } } }`;

const submitted = z.object({ job: z.object({ jobId: z.string() }) });

/** Longer than all servers can be down. */
const LIMITS = { totalMs: 400_000 };

/**
 * Submits the jobs at their times, and cancels those that are to be cancelled.
 * @returns the ids of the jobs whose cancellation was confirmed.
 */
export async function submitJobs(client: Client, jobs: readonly PlannedJob[]): Promise<readonly string[]> {
  const start = performance.now();
  const remaining = jobs.toSorted((a, b) => a.at - b.at).values();
  const cancelling: Promise<string | null>[] = [];
  // Ten submitters take the next job from one shared iterator.
  const submitter = async () => {
    for (const { at, input, cancelAfterMs, cancelsChildren } of remaining) {
      await sleep(Math.max(0, at - (performance.now() - start)));
      const answer = await client.ask(SUBMIT, input, undefined, LIMITS);
      if (codeOf(answer) !== null) throw new UnexpectedAnswerError(JSON.stringify(answer));
      const { jobId } = submitted.parse(answer).job;
      if (cancelAfterMs !== null) cancelling.push(cancel(client, jobId, cancelAfterMs, cancelsChildren));
    }
  };
  await Promise.all(Array.from({ length: 10 }, submitter));
  return (await Promise.all(cancelling)).filter((jobId) => jobId !== null);
}

async function cancel(
  client: Client,
  jobId: string,
  afterMs: number,
  includeChildren: boolean,
): Promise<string | null> {
  await sleep(afterMs);
  const input = { jobId, reason: "not needed any more", includeChildren };
  return hasEnded(await client.ask(CANCEL, input, undefined, LIMITS)) ? null : jobId;
}

/**
 * Submits a child.
 * @param onTry called each time before it is sent; throws if that is too late.
 * @returns whether the parent has not ended.
 */
export async function submitChild(client: Client, input: object, onTry: () => void): Promise<boolean> {
  return !hasEnded(await client.ask(SUBMIT, input, onTry));
}

/** Whether something was refused because the job that it is about has ended. */
function hasEnded(answer: Answer): boolean {
  const code = codeOf(answer);
  if (code !== null && code !== "ILLEGAL_TRANSITION" && code !== "JOB_POISONED")
    throw new UnexpectedAnswerError(JSON.stringify(answer));
  return code !== null;
}
