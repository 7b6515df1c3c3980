import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ReportInput, ReportKind } from "./journal.ts";
import { HOSTILE, type Random, randomInt } from "./plan.ts";
import type { Reporter, ReportResult } from "./reporter.ts";

/** A claim as the worker selects it. */
export interface Claim {
  readonly leaseToken: string;
  readonly leaseExpiresAt: string;
  readonly workflowRun: { readonly workflowRunId: string; readonly attempt: number };
  readonly job: { readonly jobId: string; readonly accessMode: string };
}

/** How long a lease lasts, in seconds: the smallest value that the server allows. */
export const LEASE_SECONDS = 5;

/** Probabilities of a worker's mistakes. It makes them only at a job's first attempt, so that every job can end. */
const MISTAKES = {
  /** It abandons the run. */
  forgets: 0.03,
  /** It sends nothing until the lease has expired, and then goes on as if it had not. */
  oversleeps: 0.05,
  /** It reads a snippet with an injection. */
  readsAttack: 0.01,
  /** It reports a written entity although the job is analysis_only. */
  writesForbiddenEntity: 0.005,
};

/** The server told the worker to stop. */
class Stopped extends Error {
  override readonly name = "Stopped";
}

/** One attempt at a job, by a worker that mostly does what it should. */
export class Run {
  readonly #claim: Claim;
  readonly #reporter: Reporter;
  readonly #random: Random;
  #isAsleep = false;
  #isStopped = false;

  constructor(claim: Claim, reporter: Reporter, random: Random) {
    this.#claim = claim;
    this.#reporter = reporter;
    this.#random = random;
  }

  /** Whether the worker would send a heartbeat for the run now. */
  get isAwake(): boolean {
    return !this.#isAsleep && !this.#isStopped;
  }

  /** Reports some steps and then the end. Fulfilled when the run is over, whoever ended it. */
  async work(): Promise<void> {
    try {
      for (let step = randomInt(this.#random, 1, 3); step > 0; step--) {
        if (!(await this.#doStep(`step ${step}`))) return;
      }
      await this.#end();
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  /** A heartbeat, to be sent together with those of other runs. */
  heartbeat(): ReportInput {
    return this.#input({ leaseSeconds: LEASE_SECONDS }, this.#random() < 0.3 ? {} : this.#metrics());
  }

  applyResult({ mustStop }: ReportResult): void {
    if (mustStop) this.#isStopped = true;
  }

  /** @returns whether the run goes on. */
  async #doStep(nodeId: string): Promise<boolean> {
    const node = { nodeId, nodeType: this.#random() < 0.5 ? "llm_call" : "tool" };
    await this.#report("advance", { step: { ...node, outcome: "STARTED" } }, this.#metrics());
    await sleep(randomInt(this.#random, 20, 400));
    if (this.#makesMistake("forgets")) return false;
    if (this.#makesMistake("oversleeps")) await this.#oversleep();
    const outcome = this.#random() < 0.1 ? "FAILED" : "SUCCEEDED";
    const content = this.#makesMistake("readsAttack") ? HOSTILE : "The roof leaks.";
    const retrievedSnippets = this.#random() < 0.5 ? [] : [{ sourceId: "minutes", content }];
    await this.#report("advance", { step: { ...node, outcome }, retrievedSnippets }, this.#metrics());
    return true;
  }

  async #oversleep(): Promise<void> {
    this.#isAsleep = true;
    await sleep(randomInt(this.#random, LEASE_SECONDS * 1000 - 200, LEASE_SECONDS * 1000 + 1500));
    this.#isAsleep = false;
  }

  async #end(): Promise<void> {
    const metrics = this.#metrics();
    if (this.#random() < 0.1) {
      const retryable = this.#random() < 0.8;
      await this.#report("fail", { errorMessage: "The model did not answer.", retryable }, metrics);
    } else {
      const issues = this.#random() < 0.2 ? ["a typo"] : [];
      await this.#report("complete", { jobOutputs: { summary: "short" }, issues }, metrics);
    }
  }

  async #report(kind: ReportKind, content: object, metrics: Record<string, number>): Promise<void> {
    if (this.#isStopped) throw new Stopped();
    const [result] = await this.#reporter.report(kind, [this.#input(content, metrics)]);
    if (result) this.applyResult(result);
    if (this.#isStopped) throw new Stopped();
  }

  #makesMistake(mistake: keyof typeof MISTAKES): boolean {
    return this.#claim.workflowRun.attempt === 1 && this.#random() < MISTAKES[mistake];
  }

  #input(content: object, metrics: Record<string, number>): ReportInput {
    const { leaseToken, workflowRun } = this.#claim;
    return { ...content, workflowRunId: workflowRun.workflowRunId, leaseToken, reportId: randomUUID(), metrics };
  }

  #metrics(): Record<string, number> {
    const inputTokens = randomInt(this.#random, 0, 50);
    const outputTokens = randomInt(this.#random, 0, 20);
    const mayWrite = this.#claim.job.accessMode === "APPLY_SCOPED" || this.#makesMistake("writesForbiddenEntity");
    return {
      durationMs: randomInt(this.#random, 1, 500),
      inputTokens,
      outputTokens,
      tokensPlanner: randomInt(this.#random, 0, inputTokens),
      tokensExecutor: randomInt(this.#random, 0, outputTokens),
      entitiesRead: randomInt(this.#random, 0, 3),
      entitiesWritten: mayWrite ? randomInt(this.#random, 0, 2) : 0,
      validatorsRunCount: randomInt(this.#random, 0, 2),
    };
  }
}
