import { usageOf } from "@ai-job-server/sdk/worker";
import { describe, expect, test } from "vitest";
import { MODEL_ANSWERS } from "./model-answers.ts";

/** What the providers' answers look like, by their documentation; each token is counted once. Those of the AI SDK are TypeScript's alone. */

const counted = { inputTokens: 40, cachedInputTokens: 60, outputTokens: 30, reasoningTokens: 20, costMicros: 0 };

describe("usage is taken from an answer", () => {
  test.each(MODEL_ANSWERS)("of $of", ({ answer, usage }) => {
    expect(usageOf(answer)).toEqual(usage && { ...usage, costMicros: 0 });
  });

  test.each([
    [
      "version 5",
      {
        providerMetadata: { openai: {} },
        response: { modelId: "gpt-5" },
        usage: { inputTokens: 100, outputTokens: 50, totalTokens: 150, cachedInputTokens: 60, reasoningTokens: 20 },
      },
      { provider: "openai", model: "gpt-5", ...counted },
    ],
    [
      "version 6",
      {
        response: { modelId: "some/model" },
        usage: {
          inputTokens: 100,
          outputTokens: 50,
          inputTokenDetails: { cacheReadTokens: 60 },
          outputTokenDetails: { reasoningTokens: 20 },
        },
      },
      { provider: "ai-sdk", model: "some/model", ...counted },
    ],
    [
      "of several calls",
      {
        response: { modelId: "some/model" },
        usage: { inputTokens: 1, outputTokens: 1 },
        totalUsage: { inputTokens: 100, outputTokens: 50, cachedInputTokens: 60, reasoningTokens: 20 },
      },
      { provider: "ai-sdk", model: "some/model", ...counted },
    ],
  ])("of the AI SDK, %s", (_what, answer, expected) => {
    expect(usageOf(answer)).toEqual(expected);
  });

  test("under another provider's name, where it is compatible, with characters that the server takes", () => {
    expect(usageOf(MODEL_ANSWERS[0]?.answer, "Together AI")?.provider).toBe("Together-AI");
  });

  test("not at all from what is no object", () => {
    for (const value of [null, undefined, "text", 5, {}]) expect(usageOf(value)).toBeNull();
  });
});
