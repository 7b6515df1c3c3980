import type {
  MetricsDelta,
  ProgressInput,
  RetrievedSnippetInput,
  WorkflowStepInput,
} from "../../test/generated/graphql.ts";
import { type Api, send, untilHeard } from "../client.ts";
import { Impossible, Leaving, messageOf, refusalOf, Stopped } from "./answers.ts";
import { AdvanceWorkflow, CompleteWorkflows, FailWorkflows, Heartbeat, ReleaseWorkflows } from "./operations.ts";
import { type Moment, mayBeOver, thisMoment } from "./own-clock.ts";

/** The fields with which a worker proves its lease. */
export interface Lease {
  readonly workflowRunId: string;
  readonly leaseToken: string;
  readonly leaseSeconds: number;
  /** When the claim was sent that was answered with this lease. */
  readonly claimSentAt: Moment;
  /** What earlier runs of the job have done: the outputs of their steps, by name. */
  readonly completed: ReadonlyMap<string, unknown>;
}

/** A step to be done. */
interface PlannedStep {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly inputPayload: unknown;
}

/** Reads the value of a step from the output that an earlier run gave it; undefined where it cannot be read so. */
type FromOutput<Value> = (output: unknown) => Value | undefined;

/** The result of a step: its value, its output for the log, the snippets to guard, the metrics, and how far the run is then. */
interface StepResult<Value> {
  readonly value: Value;
  readonly outputPayload: unknown;
  readonly retrievedSnippets?: RetrievedSnippetInput[];
  readonly metrics?: MetricsDelta;
  readonly progress?: ProgressInput | undefined;
}

/**
 * One attempt at a job, under a lease. No step begins and nothing more is reported of it, with `Stopped` thrown instead, once the
 * server has told the worker to stop, or the lease may be over by the worker's own clock.
 */
export class Run {
  readonly #api: Api;
  readonly #lease: Lease;
  readonly #stop = new AbortController();
  readonly #leaving: AbortSignal;
  /** When the claim, or the latest heartbeat that was answered, was sent. */
  #renewalSentAt: Moment;
  #reportedAt = performance.now();

  /** @param leaving aborted when the worker is to stop. */
  constructor(api: Api, lease: Lease, leaving: AbortSignal) {
    this.#api = api;
    this.#lease = lease;
    this.#renewalSentAt = lease.claimSentAt;
    this.#leaving = leaving;
  }

  /**
   * Does one step, and reports its start and its end. With `fromOutput` a step that an earlier run has done is not done again.
   * @throws Leaving when the worker is to stop: the next worker goes on with this step.
   */
  async step<Value>(
    { inputPayload, ...node }: PlannedStep,
    work: (signal: AbortSignal) => Promise<StepResult<Value>>,
    fromOutput: FromOutput<Value> = () => undefined,
  ): Promise<Value> {
    const known = fromOutput(this.#lease.completed.get(node.nodeId));
    if (known !== undefined) return known;
    if (this.#leaving.aborted) throw new Leaving();
    await this.#advance({ ...node, outcome: "STARTED", inputPayload });
    const result = await work(this.#stop.signal).catch(async (error: unknown) => {
      await this.#advance({ ...node, outcome: "FAILED", errorMessage: messageOf(error) });
      throw error;
    });
    const { outputPayload, retrievedSnippets = [], metrics = {}, progress } = result;
    await this.#advance({ ...node, outcome: "SUCCEEDED", outputPayload }, { retrievedSnippets, metrics, progress });
    return result.value;
  }

  /** Renews the lease and reads the directive. Never rejects, because it runs concurrently with the work. */
  async heartbeat(): Promise<void> {
    this.#stopIfOver();
    const { leaseSeconds } = this.#lease;
    const sentAt = thisMoment();
    try {
      const heartbeats = [{ ...this.#proof(), leaseSeconds, metrics: this.#worked() }];
      const { heartbeatWorkflows: answer } = await send(this.#api, Heartbeat, { input: { heartbeats } });
      if (answer.__typename !== "HeartbeatWorkflowsPayload") throw new Error(answer.message);
      const { directive, error } = answer.results[0] ?? { directive: "STOP_LEASE_LOST", error: null };
      if (directive === "CONTINUE") this.#renewalSentAt = sentAt;
      else this.#stop.abort(new Stopped(directive, error?.message));
    } catch {
      // Without an answer, the lease lasts until its end, and the next heartbeat may still renew it.
      this.#stopIfOver();
    }
  }

  async complete(jobOutputs: unknown): Promise<void> {
    this.#throwIfStopped();
    const completions = [{ ...this.#proof(), jobOutputs, metrics: this.#worked() }];
    const answer = await untilHeard(async () => {
      const { completeWorkflows } = await send(this.#api, CompleteWorkflows, { input: { completions } });
      if (completeWorkflows.__typename !== "CompleteWorkflowsPayload") return completeWorkflows;
      const [result] = completeWorkflows.results;
      if (result === undefined) throw new Error("The completion has no result.");
      return result;
    });
    const refusal = refusalOf(answer);
    if (refusal) throw refusal;
  }

  /**
   * Reports the run as failed. If the server refuses that, the run has ended, or is recovered when its lease expires.
   */
  async fail(error: unknown): Promise<void> {
    const retryable = !(error instanceof Impossible);
    const failure = { ...this.#proof(), errorMessage: messageOf(error), retryable, metrics: this.#worked() };
    const input = { failures: [failure] };
    await untilHeard(async () => (await send(this.#api, FailWorkflows, { input })).failWorkflows);
  }

  /** Gives the job back, unfinished: nothing is charged, and the next worker goes on from the steps that are done. */
  async giveBack(): Promise<void> {
    const input = { releases: [{ ...this.#proof(), reason: "The worker stops.", metrics: this.#worked() }] };
    await untilHeard(async () => (await send(this.#api, ReleaseWorkflows, { input })).releaseWorkflows);
  }

  async #advance(
    step: WorkflowStepInput,
    { retrievedSnippets = [], metrics = {}, progress }: Omit<Partial<StepResult<unknown>>, "value"> = {},
  ): Promise<void> {
    this.#throwIfStopped();
    const input = {
      ...this.#proof(),
      step,
      retrievedSnippets,
      metrics: { ...metrics, ...this.#worked() },
      ...(progress ? { progress } : {}),
    };
    const answer = await untilHeard(async () => (await send(this.#api, AdvanceWorkflow, { input })).advanceWorkflow);
    const refusal = refusalOf(answer);
    if (refusal) throw refusal;
  }

  #throwIfStopped(): void {
    this.#stopIfOver();
    this.#stop.signal.throwIfAborted();
  }

  #stopIfOver(): void {
    if (!mayBeOver(this.#lease.leaseSeconds, this.#renewalSentAt)) return;
    this.#stop.abort(new Stopped("STOP_LEASE_LOST", "By the worker's own clock, the lease may be over."));
  }

  #proof() {
    const { workflowRunId, leaseToken } = this.#lease;
    return { workflowRunId, leaseToken };
  }

  /** Milliseconds since the last report, so that the reports add up to the duration of the run. */
  #worked(): MetricsDelta {
    const since = this.#reportedAt;
    this.#reportedAt = performance.now();
    return { durationMs: Math.round(this.#reportedAt - since) };
  }
}
