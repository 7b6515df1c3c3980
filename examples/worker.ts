import { setTimeout } from "node:timers/promises";
import type { JobKind } from "../test/generated/graphql.ts";
import { send, untilHeard } from "./client.ts";
import { Stopped } from "./worker/answers.ts";
import { QueuedJobs, StartWorkflow } from "./worker/operations.ts";
import { Run } from "./worker/run.ts";
import { summariseDocument } from "./worker/summarise-document.ts";
import type { Summariser } from "./worker/summariser.ts";

export interface WorkerOptions {
  /** Where the server's API answers; the worker knows nothing else of it. */
  readonly url: string;
  readonly workerId: string;
  /** Only jobs of this protocol are taken. */
  readonly protocolId: string;
  readonly leaseSeconds: number;
  readonly heartbeatMs: number;
  /** The folder that documents are read from. */
  readonly documents: string;
  readonly summariser: Summariser;
  /** Aborted: the worker ends what it is doing and takes nothing more. */
  readonly signal: AbortSignal;
}

/** Milliseconds between two looks at an empty queue. */
const IDLE_MS = 100;

/** How often in a row the server may be away: for six seconds together, since each pause is twice the one before. */
const MAX_FAILURES = 5;

/** Takes queued jobs, one at a time and oldest first, and summarises the document of each. */
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

/** The oldest job that is due and that no other worker has taken meanwhile. */
async function claimNext({ url, protocolId, workerId, leaseSeconds }: WorkerOptions): Promise<Claim | undefined> {
  const { aiJobs } = await send(url, QueuedJobs, { protocolId });
  for (const { jobId, runAfter } of aiJobs.nodes.toReversed()) {
    if (runAfter !== null && Date.parse(runAfter) > Date.now()) continue;
    const input = { jobId, workerId, leaseSeconds };
    const answer = await untilHeard(async () => (await send(url, StartWorkflow, { input })).startWorkflow);
    if (answer.__typename === "StartWorkflowPayload") return answer.claim;
    if (answer.__typename === "InvalidInputError") throw new Error(answer.message);
    // Any other answer: somebody else was faster, or nobody gets this job, for its inputs have poisoned it.
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
    // Poisoned, cancelled, or the lease is lost: the server knows why, and there is nothing left to say.
    if (!(error instanceof Stopped)) await run.fail(error);
  } finally {
    clearInterval(heart);
  }
}
