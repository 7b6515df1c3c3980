import { z } from "zod";
import { broughtSchema } from "./entries.ts";
import { inputsSchema } from "./inputs.ts";

/** The claim of a worker: the document, and what the answer has. */

export const CLAIM = `mutation ($input: ClaimAiJobsInput!) { answer: claimAiJobs(input: $input) {
  __typename
  ... on ClaimAiJobsPayload { claims {
    leaseToken leaseExpiresAt workflowRun { workflowRunId attempt } job { jobId accessMode jobInputs labels { key value } }
    completedNodes { nodeId output } userAnswers { requestId answer } children { jobId state } } }
  ... on Error { code message } } }`;

const claim = z.object({
  leaseToken: z.string(),
  leaseExpiresAt: z.string(),
  workflowRun: z.object({ workflowRunId: z.string(), attempt: z.number() }),
  job: z.object({
    jobId: z.string(),
    accessMode: z.string(),
    jobInputs: inputsSchema,
    labels: z.array(z.object({ key: z.string(), value: z.string() })),
  }),
  ...broughtSchema.shape,
});
export type Claim = z.infer<typeof claim>;

export const claimed = z.object({ claims: z.array(claim) });

export function labelOf({ job }: Claim, key: string): string {
  const label = job.labels.find((each) => each.key === key);
  if (!label) throw new Error(`The job has no label ${key}.`);
  return label.value;
}

export function hasEnded({ state }: Claim["children"][number]): boolean {
  return ["COMPLETED", "COMPLETED_WITH_ISSUES", "FAILED", "CANCELLED", "POISONED"].includes(state);
}
