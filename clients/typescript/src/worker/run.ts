import { createHash } from "node:crypto";
import { pause, reasonOf } from "../api/abort.ts";
import { JobServerError } from "../api/errors.ts";
import type { Connection } from "../api/request.ts";
import { Children } from "./children.ts";
import { CompletedSteps } from "./completed-steps.ts";
import { inputOfSnippets, type RunContext, traceparentOf } from "./context.ts";
import type { RegisteredHandler } from "./handler.ts";
import { CannotBeDone, GivenBack, RetryAfter, Waiting } from "./handler-errors.ts";
import { type Claim, jobOf } from "./job.ts";
import { asJson } from "./json.ts";
import type { Lease } from "./lease.ts";
import { messageOf } from "./message.ts";
import { Output } from "./output.ts";
import { type Progress, progressOf } from "./progress.ts";
import { Questions } from "./questions.ts";
import { type Completion, Reports } from "./reports.ts";
import { RunScope } from "./run-scope.ts";
import { check } from "./standard-schema.ts";
import { type PriceOf, Steps } from "./steps.ts";

/** What became of a run. */
export type Ending = "completed" | "failed" | "given back" | "waits" | "stopped";

export interface RunOptions {
  readonly connection: Connection;
  readonly claim: Claim;
  readonly lease: Lease;
  readonly priceOf: PriceOf;
  readonly sayProgress: (progress: Progress) => void;
}

/** A sleep that is longer, in milliseconds, is one without a worker. */
const LONG_SLEEP_MS = 10_000;
/** The server takes a time that is at most 24 hours ahead, by its own clock. */
const MAX_RETRY_MS = (24 * 60 - 1) * 60_000;

/** One attempt at a job, from its claim to its end. */
export class Run {
  readonly #claim: Claim;
  readonly #lease: Lease;
  readonly #scope: RunScope;
  readonly #reports: Reports;
  readonly #output: Output;
  readonly #context: RunContext;

  constructor({ connection: ofWorker, claim, lease, priceOf, sayProgress }: RunOptions) {
    this.#claim = claim;
    this.#lease = lease;
    const scope = new RunScope(lease);
    const proof = { workflowRunId: claim.workflowRun.workflowRunId, leaseToken: claim.leaseToken };
    // What the server does for this run belongs to the trace of its job.
    const traceparent = traceparentOf(claim);
    const connection = { ...ofWorker, headers: { ...ofWorker.headers, traceparent } };
    const reports = new Reports(connection, proof, lease);
    const output = new Output(connection, proof, lease);
    const revision = revisionOf(claim);
    const steps = new Steps(reports, scope, new CompletedSteps(connection, claim), priceOf, revision);
    this.#scope = scope;
    this.#reports = reports;
    this.#output = output;
    const release = (why: Parameters<Reports["release"]>[0]) => this.#waitBy(() => reports.release(why));
    const questions = new Questions(claim, reports, (ask) => this.#waitBy(ask));
    const untilChildrenEnd = () => release({ reason: "Waits for its children.", untilChildrenEnd: true });
    const children = new Children(connection, scope, reports, claim, revision, untilChildrenEnd);
    this.#context = {
      signal: scope.signal,
      attempt: claim.job.attempt,
      reviewComment: claim.reviewComment,
      traceparent,
      children: { submit: (input) => watched(children.submit(input)), wait: () => watched(children.wait()) },
      output,
      step: (name, options, work) => watched(steps.do(name, options, work)),
      ask: (question, options = {}) => watched(questions.ask(question, options)),
      release: (reason) => watched(release({ reason })),
      sleepUntil: (time) => {
        const ms = time.getTime() - Date.now();
        // Not for a short while: by the clock of the database it may have passed already, and the job would come back at once.
        const short = ms <= LONG_SLEEP_MS ? pause(Math.max(ms, 0), scope.signal) : undefined;
        return watched(short ?? release({ reason: "Waits for a time.", runAfter: time.toISOString() }));
      },
      progress: (fraction, message) => {
        const progress = progressOf(fraction, message);
        if (progress) sayProgress(progress);
      },
      snippets: (snippets) => {
        const show = async () => {
          await steps.do("snippets", { type: "retrieval", input: inputOfSnippets(snippets) }, () => null, snippets);
          await reports.flush();
          return snippets.map(({ content }) => content);
        };
        return watched(show());
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
      this.#scope.throwIfOver();
      const worked = this.#work(handler);
      // A handler that goes on when it was told to stop is not waited for.
      worked.catch(() => undefined);
      const completion = await Promise.race([worked, whenAborted(this.#scope.signal)]);
      this.#scope.throwIfOver();
      // It is for people's eyes, and no reason to fail a job that is done.
      await this.#output.end().catch(() => this.#scope.throwIfOver());
      await this.#reports.complete(completion);
      return "completed";
    } catch (error) {
      return await this.#breakOff(error);
    } finally {
      this.#output.close();
      this.#lease.close();
      await this.#reports.end();
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
    this.#scope.throwIfOver();
    const result = (await handler(jobOf(job, given.value), this.#context)) ?? { outputs: null };
    // Said by the types, too; but a worker may be written in JavaScript, and its work would be lost without a word.
    if (typeof result !== "object" || !("outputs" in result))
      throw new CannotBeDone("A handler returns an object with `outputs`, or nothing.");
    const made = outputs ? await check(outputs, result.outputs) : { value: result.outputs };
    if ("wrong" in made) throw new CannotBeDone(`The job's outputs do not fit: ${made.wrong}`);
    return { ...result, outputs: asJson(made.value) };
  }

  /** Ends the run in a way by which the job waits. */
  async #waitBy(report: () => Promise<void>): Promise<never> {
    this.#scope.throwIfOver();
    // The rest of the partial output first, so that whoever is asked can read it.
    await this.#output.end().catch(() => this.#scope.throwIfOver());
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
      // What other steps are doing is stopped, too: nobody waits for it any more.
      this.#scope.end(error instanceof Error ? error : new Error(messageOf(error)));
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
  if (!(error instanceof RetryAfter) || Number.isNaN(error.at.getTime())) return { retryable: true };
  const latest = Date.now() + MAX_RETRY_MS;
  return { retryable: true, retryAfter: new Date(Math.min(error.at.getTime(), latest)).toISOString() };
}

/**
 * Lets nobody be hurt by a promise that nobody looks at: a handler that has begun several things and waits for the first is told by
 * that one that its run has ended.
 */
function watched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** What names the steps and children of a revision apart from those before a person sent the job back; empty where nobody did. */
function revisionOf({ reviewComment }: Claim): string {
  return reviewComment === null ? "" : `~${createHash("sha256").update(reviewComment).digest("hex").slice(0, 8)}`;
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(reasonOf(signal));
    signal.addEventListener("abort", () => reject(reasonOf(signal)), { once: true });
  });
}
