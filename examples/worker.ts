import { setTimeout } from "node:timers/promises";
import type { JobKind } from "../test/generated/graphql.ts";
import { type Api, send, untilHeard } from "./client.ts";
import { Leaving, Stopped } from "./worker/answers.ts";
import { QueuedJobs, StartWorkflow } from "./worker/operations.ts";
import { type Moment, thisMoment } from "./worker/own-clock.ts";
import { Run } from "./worker/run.ts";
import { summariseDocument } from "./worker/summarise-document.ts";
import type { Summariser } from "./worker/summariser.ts";

/** The server, of which the worker needs nothing else: its key may read jobs (VIEWER) and do them (WORKER). */
export interface WorkerOptions extends Api {
  readonly workerId: string;
  /** Only jobs with this protocol are started. */
  readonly protocolId: string;
  readonly leaseSeconds: number;
  readonly heartbeatMs: number;
  /** The folder from which documents are read. */
  readonly documents: string;
  readonly summariser: Summariser;
  /** When it is aborted, the worker finishes its current step, gives its job back and starts no more. */
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
  readonly sentAt: Moment;
  readonly leaseToken: string;
  readonly workflowRun: { readonly workflowRunId: string };
  readonly job: { readonly jobKind: JobKind; readonly jobInputs: unknown };
  readonly completedNodes: readonly { readonly nodeId: string; readonly output: unknown }[];
}

/** Starts the oldest due job that no other worker has started meanwhile. */
async function claimNext(options: WorkerOptions): Promise<Claim | undefined> {
  const { protocolId, workerId, leaseSeconds } = options;
  const { aiJobs } = await send(options, QueuedJobs, { protocolId });
  for (const { jobId, runAfter } of aiJobs.nodes.toReversed()) {
    if (runAfter !== null && Date.parse(runAfter) > Date.now()) continue;
    const input = { jobId, workerId, leaseSeconds };
    const sentAt = thisMoment();
    const answer = await untilHeard(async () => (await send(options, StartWorkflow, { input })).startWorkflow);
    if (answer.__typename === "StartWorkflowPayload") return { ...answer.claim, sentAt };
    if (answer.__typename === "InvalidInputError") throw new Error(answer.message);
    // Any other answer: another worker was faster, or the job's inputs have poisoned it. Try the next job.
  }
  return undefined;
}

/** One run, from the claim to its end. */
async function attempt(options: WorkerOptions, claim: Claim) {
  const { leaseSeconds, heartbeatMs, documents, summariser, signal } = options;
  const { sentAt, leaseToken, workflowRun, job } = claim;
  const completed = new Map(claim.completedNodes.map(({ nodeId, output }) => [nodeId, output]));
  const { workflowRunId } = workflowRun;
  const lease = { workflowRunId, leaseToken, leaseSeconds, claimSentAt: sentAt, completed };
  const run = new Run(options, lease, signal);
  const heart = setInterval(() => void run.heartbeat(), heartbeatMs);
  try {
    await run.complete(await summariseDocument(run, job, { documents, summariser }));
  } catch (error) {
    // The job was poisoned or cancelled, or the lease is lost. The server knows why; nothing is left to report.
    if (error instanceof Leaving) await run.giveBack();
    else if (!(error instanceof Stopped)) await run.fail(error);
  } finally {
    clearInterval(heart);
  }
}
