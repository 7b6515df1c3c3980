import type { ModelUsageInput, RetrievedSnippetInput } from "../api/generated.ts";
import { trust } from "../api/trust.ts";
import type { CompletedSteps } from "./completed-steps.ts";
import { CannotBeDone } from "./handler-errors.ts";
import { asJson, type Stored } from "./json.ts";
import { messageOf } from "./message.ts";
import {
  type Amount,
  amountOf,
  amountOfCall,
  callsOf,
  isZero,
  type StepMetrics,
  TOKEN_ROLES,
  type TokenRole,
} from "./metrics.ts";
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
  /**
   * For whom its calls of models are made. Their tokens, of 16 calls at most, are counted as those of the planner, or of the executor, too: as a
   * part of the total, so that none counts twice. Left out, they count in the total alone.
   */
  readonly countTokensAs?: TokenRole;
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
  /**
   * Counts what the step has read, written or validated; called again, it adds. It is told with the end of the step, and so counts once for each time
   * that the step is done. The tokens of models come from their usage: see `countTokensAs`.
   * @throws RangeError for what is no whole number from 0.
   */
  readonly reportMetrics: (metrics: StepMetrics) => void;
}

/** The steps of a run. */
export class Steps {
  readonly #reports: Reports;
  readonly #scope: RunScope;
  readonly #completed: CompletedSteps;
  readonly #priceOf: PriceOf;
  readonly #revision: string;
  readonly #times = new Map<string, number>();

  /** @param revision stands behind the name of each step; it changes when a person sends the job back, whose steps are then done anew. */
  constructor(reports: Reports, scope: RunScope, completed: CompletedSteps, priceOf: PriceOf, revision: string) {
    this.#revision = revision;
    this.#reports = reports;
    this.#scope = scope;
    this.#completed = completed;
    this.#priceOf = priceOf;
  }

  /**
   * Does a step, unless an earlier run has done it.
   * @throws what `work` throws; the reason of the lease's signal, where the run must stop; RangeError for a role that there is not.
   */
  async do<T>(
    name: string,
    { type = "step", input = null, dependsOn = [], provider, countTokensAs }: StepOptions,
    work: (context: StepContext) => T | Promise<T>,
    snippets: readonly RetrievedSnippetInput[] = [],
  ): Promise<Stored<T>> {
    // Before anything is done: what a call of a model has cost would be reported nowhere.
    if (countTokensAs !== undefined && !TOKEN_ROLES.includes(countTokensAs))
      throw new RangeError(`countTokensAs must be one of ${TOKEN_ROLES.join(", ")}.`);
    const nodeId = this.#nodeIdOf(name) + this.#revision;
    const { signal } = this.#scope;
    this.#scope.throwIfOver();
    const inputPayload = asJson(input);
    const done = await this.#completed.find(nodeId, inputPayload, signal);
    if (done) return trust<Stored<T>>(done.output);
    // What came before is kept, and guards have let it pass, before anything is made of it.
    await this.#reports.flush();
    this.#scope.throwIfOver();
    const node = { nodeId, nodeType: type };
    const start = { ...node, inputPayload, dependsOn: dependsOn.map((each) => each + this.#revision) };
    const startedAt = new Date().toISOString();
    const amounts: Amount[] = [];
    const count = (used: ModelUsageInput) => amounts.push(amountOfCall(used, countTokensAs));
    const countUsage = (answer: unknown) => {
      const used = usageOf(answer, provider);
      if (used) count(this.#priced(used));
    };
    /** Whether the server knows that it has started, once that was answered. */
    let shown: Promise<boolean> | undefined;
    const timer = setTimeout(() => {
      const told = this.#reports.start({ ...start, outcome: "STARTED" });
      shown = told.then(
        () => true,
        () => false,
      );
    }, SHOW_AFTER_MS);
    /** What is told of its start with its end: nothing where it was told before. */
    const begun = async () => {
      clearTimeout(timer);
      return (await shown) ? node : { ...start, startedAt };
    };
    try {
      const value = await work({
        signal,
        track: { onStepFinish: countUsage },
        countUsage,
        reportUsage: count,
        reportMetrics: (metrics) => {
          const amount = amountOf(metrics);
          // A step with amounts is reported in a request of its own, which zeros are not worth.
          if (!isZero(amount)) amounts.push(amount);
        },
      });
      if (callsOf(amounts).length === 0) countUsage(value);
      this.#scope.throwIfOver();
      const outputPayload = outputOf(name, value);
      this.#reports.add({ step: { ...(await begun()), outcome: "SUCCEEDED", outputPayload }, amounts, snippets });
      return trust<Stored<T>>(outputPayload);
    } catch (error) {
      clearTimeout(timer);
      // The next run does the step again, and counts it then. But its calls of models were paid for.
      if (signal.aborted) for (const each of callsOf(amounts)) this.#reports.addUsage(each);
      else
        this.#reports.add({ step: { ...(await begun()), outcome: "FAILED", errorMessage: messageOf(error) }, amounts });
      throw error;
    }
  }

  /** A step that comes again is another one: `#2`, `#3` …, in the order in which they begin, which must be the same in every run. */
  #nodeIdOf(name: string): string {
    const times = (this.#times.get(name) ?? 0) + 1;
    this.#times.set(name, times);
    return times === 1 ? name : `${name}#${times}`;
  }

  #priced(usage: ModelUsageInput): ModelUsageInput {
    // A price of a token may be a part of a millionth; what is reported is whole.
    return { ...usage, costMicros: Math.max(0, Math.round(this.#priceOf(usage)) || 0) };
  }
}

/** The longest output of a step, in bytes of its JSON. */
const MAX_OUTPUT_BYTES = 256 * 1024;

/**
 * @returns what a step has made, as it is stored.
 * @throws CannotBeDone where the server would refuse it, since it would be the same again.
 */
function outputOf(name: string, value: unknown): unknown {
  const output = asJson(value);
  const bytes = new TextEncoder().encode(JSON.stringify(output)).length;
  if (bytes <= MAX_OUTPUT_BYTES) return output;
  throw new CannotBeDone(
    `The step ${name} returned ${bytes} bytes, and at most 256 KiB are kept: store it elsewhere, and return where.`,
  );
}

/** @returns what a call cost, in millionths of the deployment's currency. */
export type PriceOf = (usage: ModelUsageInput) => number;
