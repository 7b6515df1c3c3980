import type { ClaimAiJobsInput, SubmitAiJobInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { run } from "./server.ts";

/** Workers and clients as programs of their own are: each call is a request over HTTP. */

const SUBMIT = graphql(`
  mutation WorkersSubmit($input: SubmitAiJobInput!) {
    submitAiJob(input: $input) {
      __typename
      ... on SubmitAiJobPayload {
        job {
          jobId
        }
      }
    }
  }
`);

const CLAIM = graphql(`
  mutation WorkersClaim($input: ClaimAiJobsInput!) {
    claimAiJobs(input: $input) {
      __typename
      ... on ClaimAiJobsPayload {
        claims {
          leaseToken
          workflowRun {
            workflowRunId
            attempt
          }
          job {
            jobId
          }
        }
        poisoned {
          jobId
        }
      }
    }
  }
`);

/** How a request is made: for one workspace, and by a client that may go away. */
export interface RequestOptions {
  readonly workspaceId?: string;
  readonly signal?: AbortSignal;
}

const headersOf = ({ workspaceId }: RequestOptions) =>
  workspaceId === undefined ? {} : { "x-workspace-id": workspaceId };

/** Submits a job; its id. */
export async function submitTo(
  url: string,
  more: Partial<SubmitAiJobInput> = {},
  ways: Pick<RequestOptions, "workspaceId"> = {},
): Promise<string> {
  const input: SubmitAiJobInput = { jobKind: "DOC_SUMMARIZE", protocolId: "test", ...more };
  const { submitAiJob } = await run(url, SUBMIT, { input }, headersOf(ways));
  if (!("job" in submitAiJob)) throw new Error(`The submit was answered ${submitAiJob.__typename}.`);
  return submitAiJob.job.jobId;
}

/** Claims jobs: what the server answers to it. */
export async function claimFrom(url: string, input: Partial<ClaimAiJobsInput> = {}, ways: RequestOptions = {}) {
  const wanted: ClaimAiJobsInput = { workerId: "worker-1", ...input };
  const { claimAiJobs } = await run(url, CLAIM, { input: wanted }, headersOf(ways), ways.signal);
  if (!("claims" in claimAiJobs)) throw new Error(`The claim was answered ${claimAiJobs.__typename}.`);
  return claimAiJobs;
}

/** The ids of the jobs that a claim gave. */
export async function idsFrom(...claim: Parameters<typeof claimFrom>): Promise<string[]> {
  return (await claimFrom(...claim)).claims.map(({ job }) => job.jobId);
}
