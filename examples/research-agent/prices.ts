import type { ModelUsageInput } from "@ai-job-server/sdk/worker";

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

/** What a call costs, in millionths. */
export function priceOf({
  model,
  inputTokens = 0,
  cachedInputTokens = 0,
  outputTokens = 0,
  reasoningTokens = 0,
}: Partial<Counters> & Pick<ModelUsageInput, "model">): number {
  const { input, cachedInput, output } = PRICES[model] ?? FREE;
  return inputTokens * input + cachedInputTokens * cachedInput + (outputTokens + reasoningTokens) * output;
}
