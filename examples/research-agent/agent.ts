import {
  CannotBeDone,
  createWorker,
  type HandlerResult,
  type RunContext,
  type Worker,
  type WorkerOptions,
} from "@ai-job-server/sdk/worker";
import type { Attempt } from "./attempt.ts";
import type { CallModel } from "./call-model.ts";
import { priceOf } from "./prices.ts";
import { QUESTION, RESEARCH } from "./protocols.ts";
import { answerQuestion } from "./question.ts";
import { research } from "./research.ts";

/** The server: the key may do jobs and submit children (WORKER, SUBMITTER). */
export interface AgentOptions extends Pick<WorkerOptions, "url" | "key" | "workerId" | "leaseSeconds"> {
  readonly callModel: CallModel;
  /** When it is aborted, the worker finishes its current step, gives its job back and takes no more. */
  readonly leaving: AbortSignal;
  /** Told in a line what the worker does. */
  readonly say: (line: string) => void;
  /** For the planned crash: the step in the middle of which the process is killed, without a word to anybody. */
  readonly crashIn?: string | undefined;
}

/** Who does a job, by its protocol. */
const PROTOCOLS: Readonly<Record<string, (attempt: Attempt) => Promise<HandlerResult>>> = {
  [RESEARCH]: research,
  [QUESTION]: answerQuestion,
};

/** How long a worker that leaves waits for its step, in seconds: for a model that is slow. */
const DRAIN_SECONDS = 120;

/** @returns the agent's worker: jobs of its kind, one at a time. */
export function createAgent({ callModel, leaving, say, crashIn, ...options }: AgentOptions): Worker {
  const worker = createWorker({ ...options, drainSeconds: DRAIN_SECONDS, priceOf, log: say });
  return worker.handle("WORKFLOW_RUN", async (job, context) => {
    const doIt = PROTOCOLS[job.protocolId];
    if (doIt === undefined) throw new CannotBeDone(`Nobody here knows the protocol ${job.protocolId}.`);
    say(`takes ${job.protocolId}`);
    const step: RunContext["step"] = async (name, how, work) => {
      // Between two steps: the model's call that is under way is paid for, and kept.
      if (leaving.aborted) await context.release("The worker stops.");
      let isKnown = true;
      const value = await context.step(name, how, (its) => {
        isKnown = false;
        // What came before is kept when a step begins.
        if (name === crashIn) process.kill(process.pid, "SIGKILL");
        return work(its);
      });
      if (isKnown) say(`${name} was done by an earlier run`);
      return value;
    };
    return doIt({ job, ctx: { ...context, step }, callModel });
  });
}
