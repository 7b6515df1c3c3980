import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Claim, hasEnded, labelOf } from "./claim.ts";
import type { Client } from "./client.ts";
import type { ReportInput, SentKind } from "./entries.ts";
import { childOf } from "./inputs.ts";
import type { Journal } from "./journal.ts";
import { type Lease, Stopped } from "./lease.ts";
import { drawCall, drawMetrics, type Metrics } from "./metrics.ts";
import type { Outside } from "./outside.ts";
import { HOSTILE, type Random, randomInt } from "./plan.ts";
import { submitChild } from "./submit.ts";

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

/** How often a worker gives a job back behind a step. */
const GIVES_BACK = { atOnce: 0.06, later: 0.05 };

/** What a run works with. */
export interface Tools {
  readonly lease: Lease;
  readonly client: Client;
  readonly journal: Journal;
  readonly outside: Outside;
  readonly random: Random;
}

const nodeIdOf = (step: number) => `step-${step}`;

/**
 * One attempt at a job, by a worker that mostly does what it should. It goes on from what the claim brings: the steps that earlier runs
 * have done, the answers of people, and the children.
 */
export class Run {
  readonly #claim: Claim;
  readonly #tools: Tools;
  readonly #random: Random;
  #isAsleep = false;

  constructor(claim: Claim, tools: Tools) {
    this.#claim = claim;
    this.#tools = tools;
    this.#random = tools.random;
  }

  get lease(): Lease {
    return this.#tools.lease;
  }

  /** Whether the worker would send a heartbeat for the run now. */
  get isAwake(): boolean {
    return !this.#isAsleep && this.lease.isHeld;
  }

  /** Fulfilled when the run is over, whoever ended it. */
  async work(): Promise<void> {
    try {
      await this.#doAll();
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    } finally {
      this.lease.end();
    }
  }

  /** A heartbeat, to be sent together with those of other runs. */
  heartbeat(): ReportInput {
    return this.#input({ leaseSeconds: this.lease.seconds }, this.#random() < 0.3 ? {} : this.#metrics());
  }

  async #doAll(): Promise<void> {
    const done = new Set(this.#claim.completedNodes.map(({ nodeId }) => nodeId));
    const steps = Number(labelOf(this.#claim, "steps"));
    for (let step = 1; step <= steps; step++) {
      if (!done.has(nodeIdOf(step)) && !(await this.#doStep(step))) return;
      if (step === 1 && (await this.#waits())) return;
      if (await this.#givesBack()) return;
    }
    await this.#end();
  }

  /** @returns whether the run goes on. */
  async #doStep(step: number): Promise<boolean> {
    const nodeId = nodeIdOf(step);
    const { lease, outside, journal } = this.#tools;
    const { jobId } = this.#claim.job;
    const node = { nodeId, nodeType: this.#random() < 0.5 ? "llm_call" : "tool" };
    lease.begin(nodeId);
    await this.#report("advance", { step: { ...node, outcome: "STARTED", inputPayload: { step } } });
    const key = `${jobId}:${nodeId}`;
    const receipt = outside.do(key);
    journal.write({ type: "effect", key, receipt });
    await sleep(randomInt(this.#random, 20, 400));
    if (this.#makesMistake("forgets")) return false;
    if (this.#makesMistake("oversleeps")) await this.#oversleep();
    const end = this.#random() < 0.1 ? { outcome: "FAILED" } : { outcome: "SUCCEEDED", outputPayload: { receipt } };
    const content = this.#makesMistake("readsAttack") ? HOSTILE : "The roof leaks.";
    const retrievedSnippets = this.#random() < 0.5 ? [] : [{ sourceId: "minutes", content }];
    const metrics = this.#metrics();
    const used = node.nodeType === "llm_call" ? drawCall(this.#random, metrics) : metrics;
    await this.#report("advance", { step: { ...node, ...end }, retrievedSnippets }, used);
    return true;
  }

  async #oversleep(): Promise<void> {
    this.#isAsleep = true;
    this.lease.forgetClock();
    await sleep(this.lease.seconds * 1000 + randomInt(this.#random, -200, 1500));
    this.#isAsleep = false;
  }

  /** @returns whether the job now waits for children or for a person, so that the run is over. */
  async #waits(): Promise<boolean> {
    const middle = labelOf(this.#claim, "in-the-middle");
    if (middle === "children") return this.#waitsForChildren();
    if (middle === "nothing" || this.#claim.userAnswers.length > 0) return false;
    const isShort = middle === "asks: unanswered" || middle === "asks: late";
    const expiresAt = isShort ? this.#inAWhile(500) : null;
    await this.#report("ask", { question: `Which one? (${middle})`, options: ["this one", "that one"], expiresAt });
    return true;
  }

  /** Submits the children that are missing: under the same keys, by whichever run, so that each comes once. */
  async #waitsForChildren(): Promise<boolean> {
    const { jobId, jobInputs } = this.#claim.job;
    const inputs = (jobInputs?.children ?? []).map((planned, index) => ({
      ...childOf(planned),
      parentJobId: jobId,
      // As the kits do: a worker with one, and one without, submit the same child.
      idempotencyKey: `${jobId}/child-${index + 1}`,
    }));
    const { children } = this.#claim;
    if (children.length === inputs.length && children.every(hasEnded)) return false;
    for (const input of children.length < inputs.length ? inputs : []) {
      const isOpen = await submitChild(this.#tools.client, input, () => this.lease.checkClock());
      if (!isOpen) throw new Stopped();
    }
    await this.#report("release", { reason: "It waits for its children.", untilChildrenEnd: true });
    return true;
  }

  async #givesBack(): Promise<boolean> {
    const chance = this.#random();
    if (chance > GIVES_BACK.atOnce + GIVES_BACK.later) return false;
    const runAfter = this.#inAWhile(600);
    await this.#report("release", { reason: "deploy", ...(chance < GIVES_BACK.atOnce ? {} : { runAfter }) });
    return true;
  }

  /** A time that lies ahead, further on a slow machine. */
  #inAWhile(maxMs: number): string {
    return new Date(Date.now() + this.lease.seconds * randomInt(this.#random, 200, maxMs)).toISOString();
  }

  async #end(): Promise<void> {
    if (this.#random() < 0.1) {
      const retryable = this.#random() < 0.8;
      await this.#report("fail", { errorMessage: "The model did not answer.", retryable });
    } else {
      const issues = this.#random() < 0.2 ? ["a typo"] : [];
      const { userAnswers, children } = this.#claim;
      await this.#report("complete", { jobOutputs: { answers: userAnswers, children: children.length }, issues });
    }
  }

  #report(kind: SentKind, content: object, metrics = this.#metrics()): Promise<void> {
    return this.lease.report(kind, this.#input(content, metrics));
  }

  #makesMistake(mistake: keyof typeof MISTAKES): boolean {
    return this.#claim.workflowRun.attempt === 1 && this.#random() < MISTAKES[mistake];
  }

  #input(content: object, metrics: Metrics): ReportInput {
    const { leaseToken, workflowRun } = this.#claim;
    return { ...content, workflowRunId: workflowRun.workflowRunId, leaseToken, reportId: randomUUID(), metrics };
  }

  #metrics(): Metrics {
    const mayWrite = this.#claim.job.accessMode === "APPLY_SCOPED" || this.#makesMistake("writesForbiddenEntity");
    return drawMetrics(this.#random, mayWrite);
  }
}
