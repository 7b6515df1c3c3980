import { setTimeout } from "node:timers/promises";
import type { JobKind } from "../test/generated/graphql.ts";
import { send, untilHeard } from "./client.ts";
import { Stopped } from "./worker/answers.ts";
import { QueuedJobs, StartWorkflow } from "./worker/operations.ts";
import { Run } from "./worker/run.ts";
import { summariseDocument } from "./worker/summarise-document.ts";
import type { Summariser } from "./worker/summariser.ts";

export interface WorkerOptions {
  /** The address of the server's API; the worker needs nothing else of the server. */
  readonly url: string;
  readonly workerId: string;
  /** Only jobs with this protocol are started. */
  readonly protocolId: string;
  readonly leaseSeconds: number;
  readonly heartbeatMs: number;
  /** The folder from which documents are read. */
  readonly documents: string;
  readonly summariser: Summariser;
  /** When it is aborted, the worker finishes its current job and starts no more. */
  readonly signal: AbortSignal;
}

/** How long to wait, in milliseconds, when no job is due. */
const IDLE_MS = 100;

/**
 * How many requests in a row may fail to reach the server. Each pause is twice as long as the last: six seconds in all.
 */
const MAX_FAILURES = 5;

/** Starts queued jobs, one at a time and oldest first, and summarises the document of each. */
export async function work(options: WorkerOptions): Promise<void> {
  let failures = 0;
  while (!options.signal.aborted) {
    try {
      const claim = await claimNext(options);
      if (claim === undefined) await setTimeout(IDLE_MS);
      else await attempt(options, claim);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures > MAX_FAILURES) throw error;
      await setTimeout(IDLE_MS * 2 ** failures);
    }
  }
}

interface Claim {
  readonly leaseToken: string;
  readonly workflowRun: { readonly workflowRunId: string };
  readonly job: { readonly jobKind: JobKind; readonly jobInputs: unknown };
}

/** Starts the oldest due job that no other worker has started meanwhile. */
async function claimNext({ url, protocolId, workerId, leaseSeconds }: WorkerOptions): Promise<Claim | undefined> {
  const { aiJobs } = await send(url, QueuedJobs, { protocolId });
  for (const { jobId, runAfter } of aiJobs.nodes.toReversed()) {
    if (runAfter !== null && Date.parse(runAfter) > Date.now()) continue;
    const input = { jobId, workerId, leaseSeconds };
    const answer = await untilHeard(async () => (await send(url, StartWorkflow, { input })).startWorkflow);
    if (answer.__typename === "StartWorkflowPayload") return answer.claim;
    if (answer.__typename === "InvalidInputError") throw new Error(answer.message);
    // Any other answer: another worker was faster, or the job's inputs have poisoned it. Try the next job.
  }
  return undefined;
}

/** One run, from the claim to its end. */
async function attempt({ url, leaseSeconds, heartbeatMs, documents, summariser }: WorkerOptions, claim: Claim) {
  const { leaseToken, workflowRun, job } = claim;
  const run = new Run(url, { workflowRunId: workflowRun.workflowRunId, leaseToken, leaseSeconds });
  const heart = setInterval(() => void run.heartbeat(), heartbeatMs);
  try {
    await run.complete(await summariseDocument(run, job, { documents, summariser }));
  } catch (error) {
    // The job was poisoned or cancelled, or the lease is lost. The server knows why; nothing is left to report.
    if (!(error instanceof Stopped)) await run.fail(error);
  } finally {
    clearInterval(heart);
  }
}
