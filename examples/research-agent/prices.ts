import type { LanguageModelUsage } from "ai";
import type { ModelUsageInput } from "../../test/generated/graphql.ts";

/** What a token costs, in millionths of the deployment's currency: the same number as the price of a million tokens in the currency. */
interface Price {
  readonly input: number;
  readonly cachedInput: number;
  readonly output: number;
}

/** The server knows no prices: whoever calls the model does. Add the models that you use; one that is not here costs nothing. */
const PRICES: Readonly<Record<string, Price>> = {
  "scripted-1": { input: 3, cachedInput: 1, output: 15 },
};

const FREE: Price = { input: 0, cachedInput: 0, output: 0 };

/** The tokens of a call, in four counters that do not overlap. */
export type Counters = Required<
  Pick<ModelUsageInput, "inputTokens" | "cachedInputTokens" | "outputTokens" | "reasoningTokens">
>;

/** Providers count cached tokens among the input, and reasoning among the output: here each token is in one counter. */
export function countersOf(usage: LanguageModelUsage): Counters {
  const { inputTokens = 0, cachedInputTokens = 0, outputTokens = 0, reasoningTokens = 0 } = usage;
  return {
    inputTokens: Math.max(0, inputTokens - cachedInputTokens),
    cachedInputTokens,
    outputTokens: Math.max(0, outputTokens - reasoningTokens),
    reasoningTokens,
  };
}

/** What a call costs, in whole millionths. */
export function costMicrosOf(model: string, counters: Counters): number {
  const { input, cachedInput, output } = PRICES[model] ?? FREE;
  const { inputTokens, cachedInputTokens, outputTokens, reasoningTokens } = counters;
  return Math.ceil(inputTokens * input + cachedInputTokens * cachedInput + (outputTokens + reasoningTokens) * output);
}
