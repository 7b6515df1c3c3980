import { hostname } from "node:os";
import { pause } from "../api/abort.ts";
import { ClaimAiJobs, type JobKind } from "../api/generated.ts";
import { type Connection, request } from "../api/request.ts";
import { successOf } from "../api/result.ts";
import { isTransient, pauseMsAfter } from "../api/retry.ts";
import { type Moment, thisMoment } from "./clock.ts";
import type { Handler, HandlerSchemas, RegisteredHandler } from "./handler.ts";
import type { Claim } from "./job.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import type { Progress } from "./progress.ts";
import { type Ending, Run } from "./run.ts";
import type { PriceOf } from "./steps.ts";

export interface WorkerOptions extends Connection {
  /** The name under which the worker claims, different in each process; left out, one is made of the host's name. */
  readonly workerId?: string;
  /** How many jobs it works on at once, from 1 to 100; 1 where it is left out. */
  readonly concurrency?: number;
  /** For how long a job is claimed, and each renewal lasts, from 15 to 900 seconds; 60 where it is left out. A network that is cut for less loses no job. */
  readonly leaseSeconds?: number;
  /** How long a worker that stops waits for its jobs before it gives them back, in seconds; 20 where it is left out. */
  readonly drainSeconds?: number;
  /** What a call of a model cost, in millionths of the deployment's currency; left out, nothing is said of it. */
  readonly priceOf?: PriceOf;
  /** Told in a line what the worker does. It says no content of jobs. */
  readonly log?: (line: string) => void;
}

/** A job that a worker has done, and what became of it: its run's end, and not yet the job's where that is tried again or waits. */
export interface DoneJob {
  readonly jobId: string;
  readonly jobKind: JobKind;
  readonly ending: Ending;
}

/** How long a claim waits for a job, in seconds: as long as a worker that stops may have to wait for its answer. */
const CLAIM_SECONDS = 2;

/** How long its answer may take beyond that, in milliseconds. */
const CLAIM_ANSWER_MS = 10_000;

/** Why a worker that does something else, or has done, does not begin. */
const OCCUPIED = {
  once: "This worker does a job for runOnce: wait for that.",
  running: "This worker runs already.",
  ended: "This worker has run, and was stopped: make another one.",
} as const;

/** A worker: claims jobs of the kinds that it has handlers for, and does them. */
export class Worker {
  readonly #options: Required<Omit<WorkerOptions, keyof Connection>>;
  readonly #connection: Connection;
  readonly #handlers = new Map<JobKind, RegisteredHandler>();
  readonly #runs = new Set<{ readonly run: Run; readonly done: Promise<void> }>();
  readonly #stopping = new AbortController();
  #state: keyof typeof OCCUPIED | "idle" = "idle";
  /** Why no lease can be renewed any more. */
  #broken: Error | undefined;
  /** Ends the wait for a run to end, or for the worker to stop. */
  #wake: () => void = () => undefined;

  constructor({ url, key, workspaceId, headers, ...options }: WorkerOptions) {
    this.#connection = { url: String(url), key, workspaceId, headers };
    this.#options = {
      workerId: options.workerId ?? `${hostname()}-${process.pid}-${crypto.randomUUID().slice(0, 8)}`,
      concurrency: within("concurrency", options.concurrency ?? 1, 1, 100),
      leaseSeconds: within("leaseSeconds", options.leaseSeconds ?? 60, 15, 900),
      drainSeconds: within("drainSeconds", options.drainSeconds ?? 20, 0, 86_400),
      priceOf: options.priceOf ?? (() => 0),
      log: options.log ?? (() => undefined),
    };
  }

  /** The name under which it claims. */
  get workerId(): string {
    return this.#options.workerId;
  }

  /** Says who does the jobs of a kind. The schemas type what the handler gets, and are checked. */
  handle(kind: JobKind, handler: Handler): this;
  handle<Inputs, Outputs>(
    kind: JobKind,
    schemas: HandlerSchemas<Inputs, Outputs>,
    handler: Handler<Inputs, Outputs>,
  ): this;
  handle(kind: JobKind, first: Handler | HandlerSchemas, second?: Handler): this {
    if (this.#handlers.has(kind)) throw new Error(`There is a handler for ${kind} already.`);
    const registered = typeof first === "function" ? { handler: first } : second && { ...first, handler: second };
    if (!registered) throw new Error(`The handler for ${kind} is missing.`);
    this.#handlers.set(kind, registered);
    return this;
  }

  /**
   * Works until the process is told to stop (SIGTERM, SIGINT), `signal` is aborted, or `stop` is called; then takes no more jobs, waits
   * `drainSeconds` for those that it has, and gives back the others.
   * @throws JobServerError where the server refuses the worker for good, such as for its key; what kept the thread of the leases from running.
   */
  async run(signal?: AbortSignal): Promise<void> {
    this.#begins("running");
    const onStop = () => this.stop();
    const keeper = this.#openKeeper();
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, onStop);
    signal?.addEventListener("abort", onStop, { once: true });
    if (signal?.aborted) this.stop();
    try {
      await this.#claimUntilStopped(keeper);
    } finally {
      await this.#drain();
      await keeper.close();
      for (const name of ["SIGTERM", "SIGINT"] as const) process.off(name, onStop);
      signal?.removeEventListener("abort", onStop);
      this.#state = "ended";
    }
    if (this.#broken) throw this.#broken;
  }

  /**
   * Takes one job that is due, does it, and resolves with what became of it; undefined where none was due. Not beside `run`, nor after it. `runOnce`
   * is the name of this for tests.
   * @internal
   * @param waitSeconds how long a job is waited for, from 0 to 20.
   * @throws JobServerError where the server refuses the worker; UnansweredError where it does not answer; what kept the job's end from being reported.
   */
  async once(waitSeconds: number): Promise<DoneJob | undefined> {
    this.#begins("once");
    const keeper = this.#openKeeper();
    try {
      const sentAt = thisMoment();
      const [claim] = await this.#claim(1, waitSeconds);
      if (!claim) return undefined;
      const { run, handler } = this.#prepare(keeper, claim, sentAt);
      const { jobId, jobKind } = claim.job;
      return { jobId, jobKind, ending: await run.do(handler) };
    } finally {
      await keeper.close();
      this.#state = "idle";
    }
  }

  /** Takes no more jobs; `run` resolves when those that it has are done or given back. */
  stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  /** @throws Error where it may not. */
  #begins(state: "once" | "running"): void {
    if (this.#state !== "idle") throw new Error(OCCUPIED[this.#state]);
    if (this.#handlers.size === 0) throw new Error("This worker has no handler: call handle() before.");
    this.#state = state;
  }

  #openKeeper(): LeaseKeeper {
    const { workerId, leaseSeconds, log } = this.#options;
    return new LeaseKeeper({ connection: this.#connection, workerId, leaseSeconds }, (error) => {
      log(`No lease is renewed any more, so the worker stops: ${error.message}`);
      this.#broken = error;
      this.stop();
    });
  }

  async #claimUntilStopped(keeper: LeaseKeeper): Promise<void> {
    const { concurrency, log } = this.#options;
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; ) {
      try {
        const free = concurrency - this.#runs.size;
        if (free === 0) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        const sentAt = thisMoment();
        for (const claim of await this.#claim(free)) this.#begin(keeper, claim, sentAt);
        failures = 0;
      } catch (error) {
        if (!isTransient(error)) throw error;
        log(`A claim was not answered: ${String(error)}`);
        await pause(pauseMsAfter(failures++, error), signal).catch(() => undefined);
      }
    }
  }

  /**
   * Not aborted when the worker stops: a job that the server hands out meanwhile would be leased to nobody, and its attempt charged. It waits for
   * a few seconds only, and what it brings then is given back.
   */
  async #claim(limit: number, waitSeconds = CLAIM_SECONDS): Promise<readonly Claim[]> {
    const { workerId, leaseSeconds } = this.#options;
    const jobKinds = [...this.#handlers.keys()];
    const input = { workerId, jobKinds, limit, leaseSeconds, waitSeconds };
    const timeoutMs = CLAIM_ANSWER_MS + waitSeconds * 1000;
    const { claimAiJobs } = await request(this.#connection, ClaimAiJobs, { input }, { timeoutMs });
    return successOf(claimAiJobs).claims;
  }

  #begin(keeper: LeaseKeeper, claim: Claim, sentAt: Moment): void {
    const { job, workflowRun } = claim;
    const { run, handler } = this.#prepare(keeper, claim, sentAt);
    if (this.#stopping.signal.aborted) run.giveBack();
    const entry = { run, done: this.#finish(run.do(handler), `${job.jobKind} ${job.jobId}`) };
    this.#runs.add(entry);
    void entry.done.then(() => {
      keeper.letGo(workflowRun.workflowRunId);
      this.#runs.delete(entry);
      this.#wake();
    });
  }

  /** Holds the lease of what was claimed. @returns its run, which has not begun, and who does it. */
  #prepare(keeper: LeaseKeeper, claim: Claim, sentAt: Moment): { run: Run; handler: RegisteredHandler } {
    const { priceOf } = this.#options;
    const { job, workflowRun, leaseToken } = claim;
    const { workflowRunId } = workflowRun;
    const handler = this.#handlers.get(job.jobKind);
    if (!handler) throw new Error(`The server handed out a job of the kind ${job.jobKind}, for which nobody asked.`);
    const lease = keeper.hold(workflowRunId, leaseToken, sentAt);
    const sayProgress = (progress: Progress) => keeper.progress(workflowRunId, progress);
    return { run: new Run({ connection: this.#connection, claim, lease, priceOf, sayProgress }), handler };
  }

  async #finish(ending: Promise<Ending>, job: string): Promise<void> {
    const { log } = this.#options;
    try {
      log(`${job}: ${await ending}`);
    } catch (error) {
      log(`${job}: its end could not be reported: ${String(error)}`);
    }
  }

  async #drain(): Promise<void> {
    if (this.#runs.size === 0) return;
    const { drainSeconds, log } = this.#options;
    log(`Stops; ${this.#runs.size} jobs are under way, for which it waits ${drainSeconds} seconds at most.`);
    const all = Promise.all([...this.#runs].map(({ done }) => done));
    const late = new AbortController();
    await Promise.race([all, pause(drainSeconds * 1000, late.signal).catch(() => undefined)]);
    late.abort();
    for (const { run } of this.#runs) run.giveBack();
    await all;
  }
}

/** @returns a worker; `handle` says what it does, and `run` begins. */
export function createWorker(options: WorkerOptions): Worker {
  return new Worker(options);
}

function within(name: string, value: number, min: number, max: number): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  throw new RangeError(`${name} must be from ${min} to ${max}.`);
}
