import type { ModelUsageInput, RetrievedSnippetInput } from "../api/generated.ts";
import { trust } from "../api/trust.ts";
import type { CompletedSteps } from "./completed-steps.ts";
import { asJson, type Stored } from "./json.ts";
import { messageOf } from "./message.ts";
import { usageOf } from "./model-usage.ts";
import type { Reports } from "./reports.ts";
import type { RunScope } from "./run-scope.ts";

/** A step that goes on for so long, in milliseconds, is reported while it does, so that people see it. */
const SHOW_AFTER_MS = 1_000;

export interface StepOptions {
  /** What kind of step it is, such as llm_call, tool or retrieval; "step" where it is left out. */
  readonly type?: string;
  /** What the step is made from. An earlier run's output is taken only where its input was the same. */
  readonly input?: unknown;
  /** The names of steps that must have succeeded before. */
  readonly dependsOn?: readonly string[];
  /** The provider of the models that it calls, where their answers do not tell it. */
  readonly provider?: string;
}

/** What the function of a step gets. */
export interface StepContext {
  /** Aborted when the run must stop; its reason says why. Pass it on to everything that takes long. */
  readonly signal: AbortSignal;
  /** Options for the AI SDK's generateText and streamText, by which each of their calls is counted: `generateText({ …, ...s.track })`. */
  readonly track: { readonly onStepFinish: (answer: unknown) => void };
  /** Counts a call of a model by what its provider answered: of the AI SDK, OpenAI (or compatible), or Anthropic. */
  readonly countUsage: (answer: unknown) => void;
  /** Counts a call of a model. */
  readonly reportUsage: (usage: ModelUsageInput) => void;
}

/** The steps of a run. */
export class Steps {
  readonly #reports: Reports;
  readonly #scope: RunScope;
  readonly #completed: CompletedSteps;
  readonly #priceOf: PriceOf;
  readonly #times = new Map<string, number>();

  constructor(reports: Reports, scope: RunScope, completed: CompletedSteps, priceOf: PriceOf) {
    this.#reports = reports;
    this.#scope = scope;
    this.#completed = completed;
    this.#priceOf = priceOf;
  }

  /**
   * Does a step, unless an earlier run has done it.
   * @throws what `work` throws; the reason of the lease's signal, where the run must stop.
   */
  async do<T>(
    name: string,
    { type = "step", input = null, dependsOn = [], provider }: StepOptions,
    work: (context: StepContext) => T | Promise<T>,
    snippets: readonly RetrievedSnippetInput[] = [],
  ): Promise<Stored<T>> {
    const nodeId = this.#nodeIdOf(name);
    const { signal } = this.#scope;
    this.#scope.throwIfOver();
    const inputPayload = asJson(input);
    const done = await this.#completed.find(nodeId, inputPayload, signal);
    if (done) return trust<Stored<T>>(done.output);
    // What came before is kept, and guards have let it pass, before anything is made of it.
    await this.#reports.flush();
    this.#scope.throwIfOver();
    const node = { nodeId, nodeType: type };
    const start = { ...node, inputPayload, dependsOn: [...dependsOn] };
    const startedAt = new Date().toISOString();
    const usage: ModelUsageInput[] = [];
    let shown: Promise<void> | undefined;
    const timer = setTimeout(() => {
      shown = this.#reports.start({ ...start, outcome: "STARTED" });
      // Whoever reports next is told the same.
      shown.catch(() => undefined);
    }, SHOW_AFTER_MS);
    const ended = (end: object) => ({ ...(shown ? node : { ...start, startedAt }), ...end });
    try {
      const value = await work(this.#contextOf(usage, provider));
      this.#scope.throwIfOver();
      const used = usageOf(value, provider);
      if (usage.length === 0 && used) usage.push(this.#priced(used));
      const outputPayload = asJson(value);
      const step = { ...ended({ outputPayload }), ...node, outcome: "SUCCEEDED" as const };
      this.#reports.add({ step, usage, snippets });
      return trust<Stored<T>>(outputPayload);
    } catch (error) {
      const step = { ...ended({ errorMessage: messageOf(error) }), ...node, outcome: "FAILED" as const };
      if (signal.aborted) for (const each of usage) this.#reports.addUsage(each);
      else this.#reports.add({ step, usage });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A step that comes again is another one: `#2`, `#3` …, in the order in which they begin, which must be the same in every run. */
  #nodeIdOf(name: string): string {
    const times = (this.#times.get(name) ?? 0) + 1;
    this.#times.set(name, times);
    return times === 1 ? name : `${name}#${times}`;
  }

  #contextOf(usage: ModelUsageInput[], provider: string | undefined): StepContext {
    const countUsage = (answer: unknown) => {
      const used = usageOf(answer, provider);
      if (used) usage.push(this.#priced(used));
    };
    return {
      signal: this.#scope.signal,
      track: { onStepFinish: countUsage },
      countUsage,
      reportUsage: (used) => usage.push(used),
    };
  }

  #priced(usage: ModelUsageInput): ModelUsageInput {
    return { ...usage, costMicros: this.#priceOf(usage) };
  }
}

/** @returns what a call cost, in millionths of the deployment's currency. */
export type PriceOf = (usage: ModelUsageInput) => number;
