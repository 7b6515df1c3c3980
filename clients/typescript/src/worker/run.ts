import { JobServerError } from "../api/errors.ts";
import type { Connection } from "../api/request.ts";
import { reasonOf } from "../api/trust.ts";
import { Children } from "./children.ts";
import { CompletedSteps } from "./completed-steps.ts";
import { inputOfSnippets, progressOf, type RunContext, traceparentOf } from "./context.ts";
import type { RegisteredHandler } from "./handler.ts";
import { type Claim, jobOf } from "./job.ts";
import { asJson } from "./json.ts";
import type { Progress } from "./keeper-messages.ts";
import type { Lease } from "./lease.ts";
import { messageOf } from "./message.ts";
import { Output } from "./output.ts";
import { Questions } from "./questions.ts";
import { type Completion, Reports } from "./reports.ts";
import { RunScope } from "./run-scope.ts";
import { check } from "./standard-schema.ts";
import { type PriceOf, Steps } from "./steps.ts";
import { CannotBeDone, GivenBack, RetryAfter, Waiting } from "./stopped.ts";

/** What became of a run. */
export type Ending = "completed" | "failed" | "given back" | "waits" | "stopped";

export interface RunOptions {
  readonly connection: Connection;
  readonly claim: Claim;
  readonly lease: Lease;
  readonly priceOf: PriceOf;
  readonly sayProgress: (progress: Progress) => void;
}

/** How long usage that came too late is tried to be reported, in milliseconds. */
const LATE_MS = 60_000;

/** One attempt at a job, from its claim to its end. */
export class Run {
  readonly #claim: Claim;
  readonly #lease: Lease;
  readonly #scope: RunScope;
  readonly #reports: Reports;
  readonly #output: Output;
  readonly #context: RunContext;

  constructor({ connection, claim, lease, priceOf, sayProgress }: RunOptions) {
    this.#claim = claim;
    this.#lease = lease;
    const scope = new RunScope(lease);
    const proof = { workflowRunId: claim.workflowRun.workflowRunId, leaseToken: claim.leaseToken };
    const reports = new Reports(connection, proof, lease);
    const output = new Output(connection, proof, lease);
    const steps = new Steps(reports, scope, new CompletedSteps(connection, claim), priceOf);
    this.#scope = scope;
    this.#reports = reports;
    this.#output = output;
    const release = (why: Parameters<Reports["release"]>[0]) => this.#waitBy(() => reports.release(why));
    const questions = new Questions(claim, reports, (ask) => this.#waitBy(ask));
    const untilChildrenEnd = () => release({ reason: "Waits for its children.", untilChildrenEnd: true });
    this.#context = {
      signal: scope.signal,
      attempt: claim.job.attempt,
      reviewComment: claim.reviewComment,
      traceparent: traceparentOf(claim),
      children: new Children(connection, scope, reports, claim, untilChildrenEnd),
      output,
      step: (name, options, work) => steps.do(name, options, work),
      ask: (question, options = {}) => questions.ask(question, options),
      release: (reason) => release({ reason }),
      sleepUntil: async (time) => {
        if (time.getTime() > Date.now()) await release({ reason: "Waits for a time.", runAfter: time.toISOString() });
      },
      progress: (fraction, message) => {
        const progress = progressOf(fraction, message);
        if (progress) sayProgress(progress);
      },
      snippets: async (snippets) => {
        await steps.do("snippets", { type: "retrieval", input: inputOfSnippets(snippets) }, () => null, snippets);
        await reports.flush();
        return snippets.map(({ content }) => content);
      },
      reportUsage: (usage) => reports.addUsage(usage),
    };
  }

  /**
   * Calls the handler, and reports how it ended.
   * @throws what keeps the end from being reported; then the job is recovered when its lease has passed.
   */
  async do(handler: RegisteredHandler): Promise<Ending> {
    try {
      const worked = this.#work(handler);
      // A handler that goes on when it was told to stop is not waited for.
      worked.catch(() => undefined);
      const completion = await Promise.race([worked, whenAborted(this.#scope.signal)]);
      this.#scope.throwIfOver();
      await this.#output.end();
      await this.#reports.complete(completion);
      return "completed";
    } catch (error) {
      return await this.#breakOff(error);
    } finally {
      this.#output.close();
      this.#lease.close();
      await this.#reports.reportLate(AbortSignal.timeout(LATE_MS)).catch(() => undefined);
    }
  }

  /** Gives the job back, while the handler is at work. */
  giveBack(): void {
    this.#scope.end(new GivenBack("The worker stops."));
  }

  async #work({ handler, inputs, outputs }: RegisteredHandler): Promise<Completion> {
    const { job } = this.#claim;
    const given = inputs ? await check(inputs, job.jobInputs) : { value: job.jobInputs };
    if ("wrong" in given) throw new CannotBeDone(`The job's inputs do not fit: ${given.wrong}`);
    const result = (await handler(jobOf(job, given.value), this.#context)) ?? { outputs: null };
    const made = outputs ? await check(outputs, result.outputs) : { value: result.outputs };
    if ("wrong" in made) throw new CannotBeDone(`The job's outputs do not fit: ${made.wrong}`);
    return { ...result, outputs: asJson(made.value) };
  }

  /** Ends the run in a way by which the job waits. */
  async #waitBy(report: () => Promise<void>): Promise<never> {
    this.#scope.throwIfOver();
    await report();
    this.#scope.end(new Waiting("The job waits; its handler is called again."));
    throw this.#scope.signal.reason;
  }

  async #breakOff(error: unknown): Promise<Ending> {
    if (this.#lease.signal.aborted) return "stopped";
    const reason = reasonOf(this.#scope.signal);
    if (reason instanceof Waiting) return "waits";
    try {
      if (reason instanceof GivenBack) {
        await this.#reports.release({ reason: reason.message });
        return "given back";
      }
      await this.#reports.fail(messageOf(error), retryOf(error));
      return "failed";
    } catch (failure) {
      if (this.#lease.signal.aborted) return "stopped";
      throw failure;
    }
  }
}

/** Whether another attempt may go better, and when. */
function retryOf(error: unknown): { readonly retryable: boolean; readonly retryAfter?: string } {
  if (error instanceof CannotBeDone) return { retryable: false };
  // The same report would be refused again.
  if (error instanceof JobServerError && error.code === "INVALID_INPUT") return { retryable: false };
  if (error instanceof RetryAfter) return { retryable: true, retryAfter: error.at.toISOString() };
  return { retryable: true };
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(reasonOf(signal));
    signal.addEventListener("abort", () => reject(reasonOf(signal)), { once: true });
  });
}
