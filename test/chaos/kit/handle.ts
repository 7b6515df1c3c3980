import { setTimeout as sleep } from "node:timers/promises";
import { CannotBeDone, type Handler, type HandlerResult, RetryAfter, type RunContext } from "@ai-job-server/sdk/worker";
import type { z } from "zod";
import type { Entry } from "../entries.ts";
import { childOf, type inputsSchema } from "../inputs.ts";
import type { Journal } from "../journal.ts";
import { drawModelCall } from "../metrics.ts";
import type { Outside } from "../outside.ts";
import { HOSTILE, type Random, randomInt } from "../plan.ts";
import type { KitLine } from "./lines.ts";
import { sharedMoment } from "./moment.ts";

/** Does the jobs of the chaos test with the kit for TypeScript. handle.py is the same for Python. */

type Inputs = z.infer<typeof inputsSchema>;
type Job = Parameters<Handler<Inputs>>[0];

export interface Tools {
  readonly journal: Journal<KitLine | Entry>;
  readonly outside: Outside;
  readonly random: Random;
  readonly leaseSeconds: number;
}

/** Probabilities of a handler's mistakes, at a job's first attempt only, so that every job can end. */
const MISTAKES = {
  /** It reads a snippet with an injection. */
  readsAttack: 0.01,
  /** It says that it wrote an entity although the job is analysis_only. */
  writesForbiddenEntity: 0.005,
  /** It holds up its whole process for longer than a lease lasts. No lease is lost by that. */
  blocks: 0.01,
};

const GIVES_BACK = { atOnce: 0.06, later: 0.04 };
/** The kit sleeps for so long, in milliseconds, without a worker. */
const LONG_SLEEP_MS = { min: 10_200, max: 11_500 };

export function handlerWith(tools: Tools): Handler<Inputs> {
  return (job, ctx) => new Handling(job, ctx, tools).do();
}

/** One call of the handler. */
class Handling {
  readonly #job: Job;
  readonly #ctx: RunContext;
  readonly #tools: Tools;
  readonly #random: Random;

  constructor(job: Job, ctx: RunContext, tools: Tools) {
    this.#job = job;
    this.#ctx = ctx;
    this.#tools = tools;
    this.#random = tools.random;
    ctx.signal.addEventListener("abort", () => this.#writeAborted(), { once: true });
  }

  async do(): Promise<HandlerResult> {
    const { step, snippets, progress, output } = this.#ctx;
    const content = this.#makesMistake("readsAttack") ? HOSTILE : "The roof leaks.";
    await snippets([{ sourceId: "minutes", content }]);
    const steps = Number(this.#label("steps"));
    let answers: readonly unknown[] = [];
    for (let number = 1; number <= steps; number++) {
      await this.#doStep(number);
      output.write(`Step ${number} is done. `);
      progress(number / steps, `step ${number}`);
      if (number === 1) answers = await this.#waitInTheMiddle();
      const chance = this.#random();
      if (chance < GIVES_BACK.atOnce) await this.#ctx.release("deploy");
      if (chance > 1 - GIVES_BACK.later) {
        const ms = randomInt(this.#random, LONG_SLEEP_MS.min, LONG_SLEEP_MS.max);
        const until = await step(`until-${number}`, {}, () => new Date(Date.now() + ms).toISOString());
        await this.#ctx.sleepUntil(new Date(until));
      }
    }
    return this.#end(answers);
  }

  /** A step that fails is left at that. */
  async #doStep(number: number): Promise<void> {
    const { jobId, attempt } = this.#job;
    const { journal, outside } = this.#tools;
    const nodeId = `step-${number}`;
    const type = this.#random() < 0.5 ? "llm_call" : "tool";
    const calledAt = sharedMoment();
    const work = this.#ctx.step(nodeId, { type, input: { step: number } }, async ({ signal, reportUsage }) => {
      journal.write({ type: "working", jobId, attempt, nodeId, calledAt });
      const key = `${jobId}:${nodeId}`;
      const receipt = outside.do(key);
      journal.write({ type: "effect", key, receipt });
      if (this.#makesMistake("blocks")) block(this.#tools.leaseSeconds * 1000 + 1000);
      // Half of them do not look whether they must stop; a few take so long that the kit shows them meanwhile.
      const ms = this.#random() < 0.05 ? 1500 : randomInt(this.#random, 20, 400);
      await sleep(ms, undefined, this.#random() < 0.5 ? { signal } : {});
      if (type === "llm_call") reportUsage(drawModelCall(this.#random));
      if (this.#random() < 0.1) throw new Error("The tool failed.");
      return { receipt };
    });
    await work.catch((error: unknown) => {
      if (this.#ctx.signal.aborted) throw error;
    });
  }

  /** @returns the answers of people. */
  async #waitInTheMiddle(): Promise<readonly unknown[]> {
    const middle = this.#label("in-the-middle");
    if (middle === "children") {
      for (const planned of this.#job.inputs?.children ?? []) await this.#ctx.children.submit(childOf(planned));
      const children = await this.#ctx.children.wait();
      if (children.length !== this.#job.inputs?.children?.length)
        this.#tools.journal.write({ type: "unexpected", message: `The kit brought ${children.length} children.` });
    }
    if (!middle.startsWith("asks")) return [];
    const isShort = middle === "asks: unanswered" || middle === "asks: late";
    const expiresAt = new Date(Date.now() + this.#tools.leaseSeconds * randomInt(this.#random, 200, 500));
    const options = ["this one", "that one"];
    return [await this.#ctx.ask(`Which one? (${middle})`, { options, ...(isShort ? { expiresAt } : {}) })];
  }

  #end(answers: readonly unknown[]): HandlerResult {
    if (this.#random() < 0.3) this.#ctx.reportUsage(drawModelCall(this.#random));
    if (this.#random() < 0.1) throw this.#failure();
    const mayWrite = this.#job.accessMode === "APPLY_SCOPED" && this.#random() < 0.5;
    const writes = mayWrite || this.#makesMistake("writesForbiddenEntity");
    return {
      outputs: { answers },
      issues: this.#random() < 0.2 ? ["a typo"] : [],
      writtenEntities: writes ? [{ entityKind: "document", entityId: "one" }] : [],
    };
  }

  #failure(): Error {
    const chance = this.#random();
    if (chance < 0.2) return new CannotBeDone("The document is empty.");
    if (chance < 0.4) return new RetryAfter(new Date(Date.now() + 1000), "The model is busy.");
    return new Error("The model did not answer.");
  }

  #label(key: string): string {
    return this.#job.labels.find((label) => label.key === key)?.value ?? "";
  }

  #makesMistake(mistake: keyof typeof MISTAKES): boolean {
    return this.#ctx.attempt === 1 && this.#random() < MISTAKES[mistake];
  }

  #writeAborted(): void {
    const { jobId, attempt } = this.#job;
    const reason: unknown = this.#ctx.signal.reason;
    const { name, message } = reason instanceof Error ? reason : new Error(String(reason));
    this.#tools.journal.write({ type: "aborted", jobId, attempt, reason: name, message, at: sharedMoment() });
  }
}

/** Lets nothing else of this thread run. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
