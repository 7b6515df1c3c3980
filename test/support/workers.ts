import type { ClaimAiJobsInput, SubmitAiJobInput } from "../generated/graphql.ts";
import { graphql } from "../generated/index.ts";
import { run } from "./server.ts";

/** Workers and clients as they are outside tests: each call is a request over HTTP. */

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

/** How a request is made: in which workspace, and with which signal to abort it. */
export interface RequestOptions {
  readonly workspaceId?: string;
  readonly signal?: AbortSignal;
}

const headersOf = ({ workspaceId }: RequestOptions) =>
  workspaceId === undefined ? {} : { "x-workspace-id": workspaceId };

/** Submits a job. @returns its id. */
export async function submitTo(
  url: string,
  more: Partial<SubmitAiJobInput> = {},
  options: Pick<RequestOptions, "workspaceId"> = {},
): Promise<string> {
  const input: SubmitAiJobInput = { jobKind: "DOC_SUMMARIZE", protocolId: "test", ...more };
  const { submitAiJob } = await run(url, SUBMIT, { input }, headersOf(options));
  if (!("job" in submitAiJob)) throw new Error(`The submit was answered ${submitAiJob.__typename}.`);
  return submitAiJob.job.jobId;
}

/** Claims jobs. @returns the payload. */
export async function claimFrom(url: string, input: Partial<ClaimAiJobsInput> = {}, options: RequestOptions = {}) {
  const fullInput: ClaimAiJobsInput = { workerId: "worker-1", ...input };
  const { claimAiJobs } = await run(url, CLAIM, { input: fullInput }, headersOf(options), options.signal);
  if (!("claims" in claimAiJobs)) throw new Error(`The claim was answered ${claimAiJobs.__typename}.`);
  return claimAiJobs;
}

/** Claims jobs. @returns their ids. */
export async function idsFrom(...claim: Parameters<typeof claimFrom>): Promise<string[]> {
  return (await claimFrom(...claim)).claims.map(({ job }) => job.jobId);
}
