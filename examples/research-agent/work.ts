import { setTimeout } from "node:timers/promises";
import { type Api, RequestRefused, send, untilHeard } from "../client.ts";
import { Impossible, Leaving, messageOf, refusalOf, Stopped } from "../worker/answers.ts";
import { type Moment, thisMoment } from "../worker/own-clock.ts";
import { Run } from "../worker/run.ts";
import type { Attempt, Claim, Ending } from "./attempt.ts";
import type { CallModel } from "./call-model.ts";
import { DueJobs, RequestUserInput, StartResearch } from "./operations.ts";
import { Output } from "./output.ts";
import { QUESTION, RESEARCH } from "./protocols.ts";
import { listenForStops } from "./push-stop.ts";
import { answerQuestion } from "./question.ts";
import { research } from "./research.ts";

/** The server: its key may submit jobs, read and do them (SUBMITTER, VIEWER, WORKER). */
export interface AgentOptions extends Api {
  readonly workerId: string;
  /** Only jobs with this value of the label are started. */
  readonly session: string;
  readonly leaseSeconds: number;
  readonly callModel: CallModel;
  /** When it is aborted, the worker finishes its current step, gives its job back and starts no more. */
  readonly leaving: AbortSignal;
  /** Told in a line what the worker does. */
  readonly say: (line: string) => void;
  /** Another kind of run, for the planned crash. */
  readonly runs?: typeof Run;
}

/** Who does a job, by its protocol. */
const PROTOCOLS: Readonly<Record<string, (attempt: Attempt) => Promise<Ending>>> = {
  [RESEARCH]: research,
  [QUESTION]: answerQuestion,
};

/** How long to wait, in milliseconds, when no job is due; and how often in a row the server may be out of reach, each time twice as long. */
const IDLE_MS = 100;
const MAX_FAILURES = 6;

/** Does the jobs of a session, one at a time. */
export async function work(options: AgentOptions): Promise<void> {
  const held = new Map<string, Run>();
  const goes = new AbortController();
  const listening = listenForStops(options, options.workerId, held, goes.signal);
  for (let failures = 0; !options.leaving.aborted; ) {
    try {
      const claim = await claimNext(options);
      if (claim === undefined) await setTimeout(IDLE_MS);
      else await attempt(options, claim, held);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures > MAX_FAILURES || error instanceof RequestRefused) throw error;
      await setTimeout(IDLE_MS * 2 ** failures);
    }
  }
  goes.abort();
  await listening;
}

interface SentClaim extends Claim {
  readonly sentAt: Moment;
}

async function claimNext(options: AgentOptions): Promise<SentClaim | undefined> {
  const { session, workerId, leaseSeconds } = options;
  const { aiJobs } = await send(options, DueJobs, { session });
  for (const { jobId } of aiJobs.nodes.filter(({ waitsFor }) => waitsFor === null).toReversed()) {
    const input = { jobId, workerId, leaseSeconds };
    const sentAt = thisMoment();
    const answer = await untilHeard(async () => (await send(options, StartResearch, { input })).startWorkflow);
    if (answer.__typename === "StartWorkflowPayload") return { ...answer.claim, sentAt };
    if (answer.__typename === "InvalidInputError") throw new Error(answer.message);
    // Any other answer: another worker was faster, the job is reserved, or its inputs have poisoned it. Try the next one.
  }
  return undefined;
}

/** One run, from the claim to its end. */
async function attempt(options: AgentOptions, claim: SentClaim, held: Map<string, Run>): Promise<void> {
  const { leaseSeconds, leaving, callModel, say, runs: KindOfRun = Run } = options;
  const { leaseToken, workflowRun, job, sentAt: claimSentAt } = claim;
  const completed = new Map(claim.completedNodes.map(({ nodeId, output }) => [nodeId, output]));
  const lease = { ...workflowRun, leaseToken, leaseSeconds, claimSentAt, completed };
  const run = new KindOfRun(options, lease, leaving);
  const output = new Output(options, run);
  held.set(workflowRun.workflowRunId, run);
  const heart = setInterval(() => void run.heartbeat(), (leaseSeconds * 1000) / 3);
  say(`takes ${job.protocolId}; ${completed.size} steps are done`);
  try {
    const doIt = PROTOCOLS[job.protocolId];
    if (doIt === undefined) throw new Impossible(`Nobody here knows the protocol ${job.protocolId}.`);
    const ending = await doIt({ api: options, claim, run, output, callModel });
    await output.end();
    await end(options, run, ending);
    say(`ends its run of ${job.protocolId}: ${ending.as}`);
  } catch (error) {
    say(`ends its run of ${job.protocolId}: ${await breakOff(run, error)}`);
  } finally {
    clearInterval(heart);
    output.close();
    held.delete(workflowRun.workflowRunId);
  }
}

/** Ends a run that did not come to its ending. @returns what became of it. */
async function breakOff(run: Run, error: unknown): Promise<string> {
  // The server knows why, and nothing is left to report.
  if (error instanceof Stopped) return error.message;
  if (error instanceof Leaving) {
    await run.giveBack();
    return "given back";
  }
  await run.fail(error);
  return messageOf(error);
}

async function end(api: Api, run: Run, ending: Ending): Promise<void> {
  switch (ending.as) {
    case "complete":
      return run.complete(ending.jobOutputs);
    case "wait for children":
      return run.giveBack({ reason: ending.reason, untilChildrenEnd: true });
    case "ask": {
      const input = { ...run.proof(), ...ending.question };
      const answer = await untilHeard(async () => (await send(api, RequestUserInput, { input })).requestUserInput);
      const refusal = answer.__typename === "RequestUserInputPayload" ? null : refusalOf(answer);
      if (refusal) throw refusal;
    }
  }
}
