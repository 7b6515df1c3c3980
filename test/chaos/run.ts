import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ReportInput, ReportKind } from "./journal.ts";
import { HOSTILE, type Random, randomInt } from "./plan.ts";
import type { Reporter, Verdict } from "./reporter.ts";

/** What a worker was given with its lease. */
export interface Claim {
  readonly leaseToken: string;
  readonly leaseExpiresAt: string;
  readonly workflowRun: { readonly workflowRunId: string; readonly attempt: number };
  readonly job: { readonly jobId: string; readonly accessMode: string };
}

/** Seconds: the least that there is. */
export const LEASE_SECONDS = 5;

/** How often, out of once, a worker does what it should not; at a job's first attempt only, so that each job comes to its end. */
const FAULTS = {
  /** A run that nobody goes on with. */
  forgets: 0.03,
  /** No sign of life until the lease has passed; then the next report, as if nothing had been. */
  oversleeps: 0.05,
  readsAttack: 0.01,
  writesWhatItMayNot: 0.005,
};

/** The server wants to hear no more of this run. */
class Stopped extends Error {
  override readonly name = "Stopped";
}

/** One attempt at a job, by a worker that mostly does what it should. */
export class Run {
  readonly #claim: Claim;
  readonly #desk: Reporter;
  readonly #random: Random;
  #isAsleep = false;
  #isStopped = false;

  constructor(claim: Claim, desk: Reporter, random: Random) {
    this.#claim = claim;
    this.#desk = desk;
    this.#random = random;
  }

  /** Whether its worker would renew its lease now. */
  get isAwake(): boolean {
    return !this.#isAsleep && !this.#isStopped;
  }

  /** Steps, then an end: settles when there is nothing more to do, whoever decided that. */
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

  /** A sign of life, to be sent with those of other runs. */
  heartbeat(): ReportInput {
    return this.#input({ leaseSeconds: LEASE_SECONDS }, this.#random() < 0.3 ? {} : this.#metrics());
  }

  hear({ stop }: Verdict): void {
    if (stop) this.#isStopped = true;
  }

  /** @returns whether the run goes on. */
  async #doStep(nodeId: string): Promise<boolean> {
    const node = { nodeId, nodeType: this.#random() < 0.5 ? "llm_call" : "tool" };
    await this.#report("advance", { step: { ...node, outcome: "STARTED" } }, this.#metrics());
    await sleep(randomInt(this.#random, 20, 400));
    if (this.#commits("forgets")) return false;
    if (this.#commits("oversleeps")) await this.#oversleep();
    const outcome = this.#random() < 0.1 ? "FAILED" : "SUCCEEDED";
    const content = this.#commits("readsAttack") ? HOSTILE : "The roof leaks.";
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
    const [verdict] = await this.#desk.report(kind, [this.#input(content, metrics)]);
    if (verdict) this.hear(verdict);
    if (this.#isStopped) throw new Stopped();
  }

  #commits(fault: keyof typeof FAULTS): boolean {
    return this.#claim.workflowRun.attempt === 1 && this.#random() < FAULTS[fault];
  }

  #input(content: object, metrics: Record<string, number>): ReportInput {
    const { leaseToken, workflowRun } = this.#claim;
    return { ...content, workflowRunId: workflowRun.workflowRunId, leaseToken, reportId: randomUUID(), metrics };
  }

  #metrics(): Record<string, number> {
    const inputTokens = randomInt(this.#random, 0, 50);
    const outputTokens = randomInt(this.#random, 0, 20);
    const mayWrite = this.#claim.job.accessMode === "APPLY_SCOPED" || this.#commits("writesWhatItMayNot");
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
