import type { ModelUsageInput } from "../api/generated.ts";
import { trust } from "../api/trust.ts";

/** Takes what a call of a model has used from what its provider answered, each token counted once: cached ones not as input, reasoning not as output. */

type Loose = Readonly<Record<string, unknown>>;
type Counters = Required<
  Pick<ModelUsageInput, "inputTokens" | "cachedInputTokens" | "outputTokens" | "reasoningTokens">
>;

/**
 * @param response an answer of the AI SDK (a result or one of its steps), of OpenAI, of an API that is compatible with it, or of Anthropic.
 * @param provider the provider's name, where the answer does not tell it.
 * @returns null for what is no such answer.
 */
export function usageOf(response: unknown, provider?: string): ModelUsageInput | null {
  const answer = asObject(response);
  // Of several calls, such as those of tools, `usage` is the last one's.
  const usage = asObject(answer["totalUsage"] ?? answer["usage"]);
  const read = [ofAiSdk, ofAnthropic, ofOpenAiResponses, ofOpenAiChat].find(({ fits }) => fits(answer, usage));
  if (!read) return null;
  const { provider: known, model } = read.names(answer);
  return { provider: text(provider ?? known).slice(0, 100), model, ...read.counters(usage), costMicros: 0 };
}

interface Format {
  readonly fits: (answer: Loose, usage: Loose) => boolean;
  readonly names: (answer: Loose) => { readonly provider: string; readonly model: string };
  readonly counters: (usage: Loose) => Counters;
}

const ofAiSdk: Format = {
  fits: (_answer, usage) => "inputTokens" in usage && "outputTokens" in usage,
  names: (answer) => ({
    provider: Object.keys(asObject(answer["providerMetadata"]))[0] ?? "ai-sdk",
    model: text(asObject(answer["response"])["modelId"]),
  }),
  counters: (usage) => {
    const input = asObject(usage["inputTokenDetails"]);
    const output = asObject(usage["outputTokenDetails"]);
    return parts(
      usage["inputTokens"],
      usage["cachedInputTokens"] ?? input["cacheReadTokens"],
      usage["outputTokens"],
      usage["reasoningTokens"] ?? output["reasoningTokens"],
    );
  },
};

/** Anthropic does not count cached tokens as input; what it writes to the cache was read as input. */
const ofAnthropic: Format = {
  fits: (answer, usage) =>
    "input_tokens" in usage && (answer["type"] === "message" || "cache_read_input_tokens" in usage),
  names: (answer) => ({ provider: "anthropic", model: text(answer["model"]) }),
  counters: (usage) => ({
    inputTokens: count(usage["input_tokens"]) + count(usage["cache_creation_input_tokens"]),
    cachedInputTokens: count(usage["cache_read_input_tokens"]),
    outputTokens: count(usage["output_tokens"]),
    reasoningTokens: 0,
  }),
};

const ofOpenAiResponses: Format = {
  fits: (_answer, usage) => "input_tokens" in usage,
  names: (answer) => ({ provider: "openai", model: text(answer["model"]) }),
  counters: (usage) =>
    parts(
      usage["input_tokens"],
      asObject(usage["input_tokens_details"])["cached_tokens"],
      usage["output_tokens"],
      asObject(usage["output_tokens_details"])["reasoning_tokens"],
    ),
};

const ofOpenAiChat: Format = {
  fits: (_answer, usage) => "prompt_tokens" in usage,
  names: (answer) => ({ provider: "openai", model: text(answer["model"]) }),
  counters: (usage) =>
    parts(
      usage["prompt_tokens"],
      asObject(usage["prompt_tokens_details"])["cached_tokens"],
      usage["completion_tokens"],
      asObject(usage["completion_tokens_details"])["reasoning_tokens"],
    ),
};

/** Counters that do not overlap, of totals with a part in each. */
function parts(input: unknown, cached: unknown, output: unknown, reasoning: unknown): Counters {
  const cachedInputTokens = Math.min(count(cached), count(input));
  const reasoningTokens = Math.min(count(reasoning), count(output));
  return {
    inputTokens: count(input) - cachedInputTokens,
    cachedInputTokens,
    outputTokens: count(output) - reasoningTokens,
    reasoningTokens,
  };
}

function asObject(value: unknown): Loose {
  return typeof value === "object" && value !== null ? trust<Loose>(value) : {};
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

/** A name that the server takes: it refuses others. */
function text(value: unknown): string {
  const name = typeof value === "string" ? value.replaceAll(/[^A-Za-z0-9._:/@+-]/g, "-").slice(0, 200) : "";
  return name || "unknown";
}
