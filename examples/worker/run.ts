import type { MetricsDelta, RetrievedSnippetInput, WorkflowStepInput } from "../../test/generated/graphql.ts";
import { send, untilHeard } from "../client.ts";
import { Impossible, messageOf, refusalOf, Stopped } from "./answers.ts";
import { AdvanceWorkflow, CompleteWorkflows, FailWorkflows, Heartbeat } from "./operations.ts";

/** The fields with which a worker proves its lease. */
export interface Lease {
  readonly workflowRunId: string;
  readonly leaseToken: string;
  readonly leaseSeconds: number;
}

/** A step to be done. */
export interface PlannedStep {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly inputPayload: unknown;
}

/** The result of a step: its value, its output for the log, the snippets to guard, and the metrics. */
export interface StepResult<Value> {
  readonly value: Value;
  readonly outputPayload: unknown;
  readonly retrievedSnippets?: RetrievedSnippetInput[];
  readonly metrics?: MetricsDelta;
}

/** One attempt at a job, under a lease. Every method throws `Stopped` once the server has told the worker to stop. */
export class Run {
  readonly #url: string;
  readonly #lease: Lease;
  readonly #stop = new AbortController();
  #renewedAt = performance.now();
  #reportedAt = performance.now();

  constructor(url: string, lease: Lease) {
    this.#url = url;
    this.#lease = lease;
  }

  /** Does one step, and reports its start and its end. */
  async step<Value>(
    { inputPayload, ...node }: PlannedStep,
    work: (signal: AbortSignal) => Promise<StepResult<Value>>,
  ): Promise<Value> {
    await this.#advance({ ...node, outcome: "STARTED", inputPayload });
    const result = await work(this.#stop.signal).catch(async (error: unknown) => {
      await this.#advance({ ...node, outcome: "FAILED", errorMessage: messageOf(error) });
      throw error;
    });
    const { outputPayload, retrievedSnippets = [], metrics = {} } = result;
    await this.#advance({ ...node, outcome: "SUCCEEDED", outputPayload }, retrievedSnippets, metrics);
    return result.value;
  }

  /** Renews the lease and reads the directive. Never rejects, because it runs concurrently with the work. */
  async heartbeat(): Promise<void> {
    const { leaseSeconds } = this.#lease;
    const sentAt = performance.now();
    try {
      const heartbeats = [{ ...this.#proof(), leaseSeconds, metrics: this.#worked() }];
      const { heartbeatWorkflows: answer } = await send(this.#url, Heartbeat, { input: { heartbeats } });
      if (answer.__typename !== "HeartbeatWorkflowsPayload") throw new Error(answer.message);
      const { directive, error } = answer.results[0] ?? { directive: "STOP_LEASE_LOST", error: null };
      if (directive === "CONTINUE") this.#renewedAt = sentAt;
      else this.#stop.abort(new Stopped(directive, error?.message));
    } catch (error) {
      // Without an answer, the lease lasts until its end, and the next heartbeat may still renew it.
      if (performance.now() - this.#renewedAt < leaseSeconds * 1000) return;
      this.#stop.abort(new Stopped("STOP_LEASE_LOST", messageOf(error)));
    }
  }

  async complete(jobOutputs: unknown): Promise<void> {
    this.#stop.signal.throwIfAborted();
    const completions = [{ ...this.#proof(), jobOutputs, metrics: this.#worked() }];
    const answer = await untilHeard(async () => {
      const { completeWorkflows } = await send(this.#url, CompleteWorkflows, { input: { completions } });
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
    await untilHeard(async () => (await send(this.#url, FailWorkflows, { input })).failWorkflows);
  }

  async #advance(
    step: WorkflowStepInput,
    retrievedSnippets: RetrievedSnippetInput[] = [],
    metrics: MetricsDelta = {},
  ): Promise<void> {
    this.#stop.signal.throwIfAborted();
    const input = { ...this.#proof(), step, retrievedSnippets, metrics: { ...metrics, ...this.#worked() } };
    const answer = await untilHeard(async () => (await send(this.#url, AdvanceWorkflow, { input })).advanceWorkflow);
    const refusal = refusalOf(answer);
    if (refusal) throw refusal;
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
