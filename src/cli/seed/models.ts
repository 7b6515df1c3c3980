import { setTimeout as sleep } from "node:timers/promises";
import type { ModelUsageInput } from "@ai-job-server/sdk/client";

/** The models of the demonstration: they only pretend, and have prices like real ones. */

export const PROVIDER = "demo";
export const SMALL = "demo-small";
export const LARGE = "demo-large";

/** What a token costs, in millionths of the currency. */
const PRICES = {
  [SMALL]: { input: 0.25, cached: 0.025, output: 2 },
  [LARGE]: { input: 3, cached: 0.3, output: 15 },
} as const;

/** @returns what a call cost, in millionths of the currency. */
export function priceOf({
  model,
  inputTokens,
  cachedInputTokens,
  outputTokens,
  reasoningTokens,
}: ModelUsageInput): number {
  const { input, cached, output } = PRICES[model === LARGE ? LARGE : SMALL];
  const written = (outputTokens ?? 0) + (reasoningTokens ?? 0);
  return Math.round((inputTokens ?? 0) * input + (cachedInputTokens ?? 0) * cached + written * output);
}

/** @returns what a model would: a text, and the tokens that it took, in the form of OpenAI's answers. */
export async function pretend(model: string, text: string, prompt: number, completion: number) {
  await sleep(100 + Math.random() * 400);
  const spread = 0.7 + Math.random() * 0.6;
  const [promptTokens, completionTokens] = [Math.round(prompt * spread), Math.round(completion * spread)];
  const usage = {
    prompt_tokens: promptTokens,
    prompt_tokens_details: { cached_tokens: Math.round(promptTokens / 3) },
    completion_tokens: completionTokens,
    completion_tokens_details: { reasoning_tokens: Math.round(completionTokens / 5) },
  };
  return { text, model, object: "chat.completion", usage };
}
