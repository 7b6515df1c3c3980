import type { Operation, TypedDocument } from "../api/document.ts";
import { JobServerError } from "../api/errors.ts";
import { follow, type OnConnection, type Subscribe } from "../api/follow.ts";
import {
  AiJob,
  AiJobChanged,
  type AiJobFilter,
  AiJobOutput,
  type AiJobOutputSubscription,
  AiJobs,
  AiJobsChanged,
  type AiJobsQuery,
  type AiJobsQueryVariables,
  CancelAiJob,
  type ChangeFragment,
  type JobFragment,
  ResolveUserReview,
  RetryAiJob,
  SubmitAiJob,
  type SubmitAiJobInput,
  type WholeJobFragment,
} from "../api/generated.ts";
import { randomId } from "../api/random-id.ts";
import { type Connection, request } from "../api/request.ts";
import { successOf } from "../api/result.ts";
import { untilAnswered } from "../api/retry.ts";
import { hasEnded } from "../api/states.ts";
import { subscribeOnce } from "../api/subscribe.ts";
import { SharedStream } from "./shared-stream.ts";

export interface ClientOptions extends Connection {
  /**
   * Whether all subscriptions go over one connection, whose requests must all reach the same server. Left out, they do in a browser,
   * which opens at most six connections to a server.
   */
  readonly isShared?: boolean;
  /**
   * Told when a watch breaks off and what is shown may be old (false), and when all of them go on (true): each resumes by itself and misses
   * nothing.
   */
  readonly onConnection?: (isConnected: boolean) => void;
}

/** A job as lists and streams show it. */
export type Job = JobFragment;
/** A job with its inputs, its outputs and the models that it has used. */
export type WholeJob = WholeJobFragment;
/** A change of a job, or (kind SNAPSHOT) how it was when the watch began. */
export type Change = ChangeFragment;
/** A piece of what a run puts out. */
export type Chunk = AiJobOutputSubscription["aiJobOutput"];
export type JobPage = AiJobsQuery["aiJobs"];

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface WatchOptions extends CallOptions {
  /** The cursor of the last change that was seen, to go on behind it; left out: from now, with how things are. */
  readonly after?: string;
  /** Told that the stream is broken off, and why, and then that it goes on: for whoever looks at it. The watch needs nobody to mend it. */
  readonly onConnection?: OnConnection;
}

/** A client of the server, for frontends and for programs that submit jobs. */
export class JobClient {
  readonly #connection: Connection;
  readonly #shared: SharedStream | undefined;
  readonly #subscribe: Subscribe;
  readonly #onConnection: ClientOptions["onConnection"];
  /** The watches that have broken off and do not go on yet. */
  readonly #broken = new Set<symbol>();

  constructor({ isShared = "document" in globalThis, onConnection, ...connection }: ClientOptions) {
    this.#connection = connection;
    this.#onConnection = onConnection;
    this.#shared = isShared ? new SharedStream(connection) : undefined;
    this.#subscribe = this.#shared?.subscribe ?? subscribeOnce;
  }

  /**
   * Sends any operation, once.
   * @throws JobServerError where the whole request was refused; UnansweredError where no answer came.
   */
  request<Data, Variables>(
    operation: Operation<Data, Variables>,
    variables: Variables,
    options: CallOptions = {},
  ): Promise<Data> {
    return request(this.#connection, operation, variables, options);
  }

  /**
   * Submits a job, once, however often its request has to be sent.
   * @throws JobServerError where the server refuses it.
   */
  async submit(input: SubmitAiJobInput, options: CallOptions = {}): Promise<Job> {
    const variables = { input: { ...input, idempotencyKey: input.idempotencyKey ?? randomId() } };
    const send = async () => successOf((await this.request(SubmitAiJob, variables, options)).submitAiJob).job;
    return untilAnswered(send, options.signal);
  }

  /**
   * Submits a job, and waits until it has ended, whatever became of it: its `state` says.
   * @throws JobServerError where the server refuses it.
   */
  async submitAndWait(input: SubmitAiJobInput, options: CallOptions = {}): Promise<WholeJob> {
    const { jobId } = await this.submit(input, options);
    return this.waitFor(jobId, options);
  }

  /** Waits until a job has ended. A failed one that is retried later has ended all the same. */
  async waitFor(jobId: string, options: CallOptions = {}): Promise<WholeJob> {
    for await (const { state } of this.watchJob(jobId, options)) if (hasEnded({ state })) break;
    const job = await this.job(jobId, options);
    if (!job) throw new JobServerError("NOT_FOUND", `There is no job ${jobId}.`);
    return job;
  }

  /** @returns a job; null where there is none that the caller may read. */
  async job(jobId: string, options: CallOptions = {}): Promise<WholeJob | null> {
    return (await untilAnswered(() => this.request(AiJob, { jobId }, options), options.signal)).aiJob;
  }

  /** Lists jobs, newest first. */
  async jobs(variables: AiJobsQueryVariables = {}, options: CallOptions = {}): Promise<JobPage> {
    return (await untilAnswered(() => this.request(AiJobs, variables, options), options.signal)).aiJobs;
  }

  /** Cancels a job, and with `includeChildren` its tree. */
  async cancel(
    jobId: string,
    reason: string,
    { includeChildren = false, ...options }: CallOptions & { readonly includeChildren?: boolean } = {},
  ): Promise<Job> {
    const { cancelAiJob } = await this.request(CancelAiJob, { input: { jobId, reason, includeChildren } }, options);
    return successOf(cancelAiJob).job;
  }

  /** Queues a job again that has failed or stalled. */
  async retry(jobId: string, options: CallOptions = {}): Promise<Job> {
    return successOf((await this.request(RetryAiJob, { input: { jobId } }, options)).retryAiJob).job;
  }

  /** Answers the question of a job; `requestId` says which one is meant, so that another one is not answered by mistake. */
  async answer(
    jobId: string,
    answer: unknown,
    { requestId, ...options }: CallOptions & { readonly requestId?: string } = {},
  ): Promise<Job> {
    const input = { jobId, decision: "ANSWER" as const, answer, ...(requestId === undefined ? {} : { requestId }) };
    return successOf((await this.request(ResolveUserReview, { input }, options)).resolveUserReview).job;
  }

  /**
   * Watches a job: how it is, then every change, each once and in order, over as many connections as that takes. It ends when the job has come to a
   * state that nothing leaves; a failed job may be retried, so the watch goes on.
   * @throws JobServerError where the watch is refused, CURSOR_EXPIRED included; the reason of `signal`, once it is aborted.
   */
  watchJob(jobId: string, options: WatchOptions = {}): AsyncIterable<Change> {
    const variables = { jobId, untilEnded: true };
    return this.#watch(AiJobChanged, variables, options, (data) => data.aiJobChanged);
  }

  /** Watches the jobs that match a filter: the newest 100 as they are, then every change. One that leaves the filter comes once with `matchesFilter: false`. */
  watchJobs(filter: AiJobFilter = {}, options: WatchOptions = {}): AsyncIterable<Change> {
    return this.#watch(AiJobsChanged, { filter }, options, (data) => data.aiJobsChanged);
  }

  /** What the runs of a job put out while they work; ends when the job has ended. The texts of one attempt belong together; a greater attempt begins anew. */
  output(jobId: string, options: WatchOptions = {}): AsyncIterable<Chunk> {
    return this.#watch(AiJobOutput, { jobId }, options, (data) => data.aiJobOutput);
  }

  /** Ends the shared connection. */
  close(): void {
    this.#shared?.close();
  }

  async *#watch<Data, Variables, Item extends { readonly cursor: string }>(
    operation: TypedDocument<Data, Variables>,
    variables: Omit<Variables, "after">,
    { after, signal, onConnection }: WatchOptions,
    itemOf: (data: Data) => Item,
  ): AsyncGenerator<Item, void, undefined> {
    const watch = Symbol("watch");
    const followed = follow({
      connection: this.#connection,
      operation,
      variables,
      after,
      cursorOf: (data) => itemOf(data).cursor,
      signal: signal ?? new AbortController().signal,
      subscribe: this.#subscribe,
      onConnection: (isConnected, error) => {
        onConnection?.(isConnected, error);
        this.#tell(watch, isConnected);
      },
    });
    try {
      for await (const data of followed) yield itemOf(data);
    } finally {
      this.#tell(watch, true);
    }
  }

  /** Tells whether all watches go on, where that has changed. */
  #tell(watch: symbol, isConnected: boolean): void {
    const before = this.#broken.size === 0;
    if (isConnected) this.#broken.delete(watch);
    else this.#broken.add(watch);
    const now = this.#broken.size === 0;
    if (now !== before) this.#onConnection?.(now);
  }
}

/** @returns a client of the server. */
export function createClient(options: ClientOptions): JobClient {
  return new JobClient(options);
}
