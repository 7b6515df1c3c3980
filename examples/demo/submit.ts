import { type Api, send, untilHeard } from "../client.ts";
import { SubmitJob } from "./operations.ts";
import type { PlannedJob } from "./plan.ts";

export interface SubmittedJob extends PlannedJob {
  readonly jobId: string;
}

/** Submits the jobs one after the other, so that their ids sort in the order of the plan. */
export async function submitJobs(api: Api, planned: readonly PlannedJob[]): Promise<readonly SubmittedJob[]> {
  const submitted: SubmittedJob[] = [];
  for (const job of planned) {
    const answer = await untilHeard(async () => (await send(api, SubmitJob, { input: job.input })).submitAiJob);
    if (answer.__typename !== "SubmitAiJobPayload") throw new Error(`${answer.code}: ${answer.message}`);
    submitted.push({ ...job, jobId: answer.job.jobId });
  }
  return submitted;
}
