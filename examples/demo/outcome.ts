import { z } from "zod";
import type { DemoOutcomesQuery } from "../../test/generated/graphql.ts";
import { type Api, send } from "../client.ts";
import { Outcomes } from "./operations.ts";
import { PROTOCOL } from "./plan.ts";
import type { SubmittedJob } from "./submit.ts";

export type Outcome = DemoOutcomesQuery["aiJobs"]["nodes"][number];

/** Reads all jobs of the demo. @returns them by id. */
export async function readOutcomes(api: Api): Promise<ReadonlyMap<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  let after: string | null = null;
  do {
    const { aiJobs }: DemoOutcomesQuery = await send(api, Outcomes, { protocolId: PROTOCOL, after });
    for (const outcome of aiJobs.nodes) outcomes.set(outcome.jobId, outcome);
    after = aiJobs.pageInfo.hasNextPage ? aiJobs.pageInfo.endCursor : null;
  } while (after !== null);
  return outcomes;
}

/** The outputs of a job, as the worker writes them. */
const jobOutputs = z.object({ summary: z.string().min(1), summariser: z.string(), chunks: z.number() });

export function outputsOf({ jobOutputs: value }: Outcome): z.infer<typeof jobOutputs> | undefined {
  return jobOutputs.safeParse(value).data;
}

/**
 * The faults in the results: a job that ended in another state than its document demands, a completed job without a
 * summary, a poisoned job with outputs, or a version that the subscription did not deliver.
 * @param versionsSeen by job, the number of versions that the subscription delivered.
 * @returns a sentence for each fault.
 */
export function faultsOf(
  jobs: readonly SubmittedJob[],
  outcomes: ReadonlyMap<string, Outcome>,
  versionsSeen: ReadonlyMap<string, number>,
): readonly string[] {
  return jobs.flatMap(({ jobId, document, input }) => {
    const of = `${document.name} (${input.jobKind})`;
    const outcome = outcomes.get(jobId);
    if (!outcome) return [`${of}: the server does not know the job ${jobId}.`];
    const faults: string[] = [];
    const { state, statusReason, errorMessage, version } = outcome;
    if (state !== document.expected) {
      faults.push(`${of}: ${state} (${errorMessage ?? statusReason}) instead of ${document.expected}.`);
    }
    if (state === "COMPLETED" && !outputsOf(outcome)) faults.push(`${of}: completed without a summary.`);
    if (state === "POISONED" && outcome.jobOutputs !== null) faults.push(`${of}: poisoned, and its outputs are kept.`);
    const seen = versionsSeen.get(jobId) ?? 0;
    if (seen !== version) faults.push(`${of}: the subscriber saw ${seen} of ${version} versions.`);
    return faults;
  });
}
