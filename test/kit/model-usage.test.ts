import { usageOf } from "@ai-job-server/sdk/worker";
import { describe, expect, test } from "vitest";

/** What the providers' answers look like, by their documentation; each token is counted once. */
const chat = {
  model: "gpt-5",
  choices: [],
  usage: {
    prompt_tokens: 100,
    completion_tokens: 50,
    prompt_tokens_details: { cached_tokens: 60 },
    completion_tokens_details: { reasoning_tokens: 20 },
  },
};
const counted = { inputTokens: 40, cachedInputTokens: 60, outputTokens: 30, reasoningTokens: 20, costMicros: 0 };

describe("usage is taken from an answer", () => {
  test.each([
    ["of OpenAI's chat completions", chat, { provider: "openai", model: "gpt-5", ...counted }],
    [
      "of OpenAI's responses",
      {
        model: "gpt-5-mini",
        usage: {
          input_tokens: 100,
          output_tokens: 50,
          input_tokens_details: { cached_tokens: 60 },
          output_tokens_details: { reasoning_tokens: 20 },
        },
      },
      { provider: "openai", model: "gpt-5-mini", ...counted },
    ],
    [
      "of Anthropic's messages",
      {
        type: "message",
        model: "claude-sonnet-4-5",
        usage: { input_tokens: 30, cache_creation_input_tokens: 10, cache_read_input_tokens: 60, output_tokens: 50 },
      },
      { provider: "anthropic", model: "claude-sonnet-4-5", ...counted, outputTokens: 50, reasoningTokens: 0 },
    ],
    [
      "of the AI SDK, version 5",
      {
        providerMetadata: { openai: {} },
        response: { modelId: "gpt-5" },
        usage: { inputTokens: 100, outputTokens: 50, totalTokens: 150, cachedInputTokens: 60, reasoningTokens: 20 },
      },
      { provider: "openai", model: "gpt-5", ...counted },
    ],
    [
      "of the AI SDK, version 6",
      {
        response: { modelId: "a model: v1" },
        usage: {
          inputTokens: 100,
          outputTokens: 50,
          inputTokenDetails: { cacheReadTokens: 60 },
          outputTokenDetails: { reasoningTokens: 20 },
        },
      },
      { provider: "ai-sdk", model: "a-model:-v1", ...counted },
    ],
  ])("%s", (_what, answer, expected) => {
    expect(usageOf(answer)).toEqual(expected);
  });

  test("under another provider's name, where it is compatible", () => {
    expect(usageOf(chat, "together")?.provider).toBe("together");
  });

  test("never below zero, and not at all from what is no answer", () => {
    const odd = {
      model: 5,
      usage: { prompt_tokens: 1, completion_tokens: -3, prompt_tokens_details: { cached_tokens: 9 } },
    };
    expect(usageOf(odd)).toMatchObject({ model: "unknown", inputTokens: 0, cachedInputTokens: 1, outputTokens: 0 });
    for (const value of [null, undefined, "text", 5, {}, { usage: null }, { usage: { tokens: 5 } }])
      expect(usageOf(value)).toBeNull();
  });
});
