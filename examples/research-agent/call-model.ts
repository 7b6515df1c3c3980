import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { type LanguageModel, type ModelMessage, streamText, type ToolSet } from "ai";
import { z } from "zod";
import type { ModelUsageInput } from "../../test/generated/graphql.ts";
import { Stopped } from "../worker/answers.ts";
import type { ModelSettings } from "../worker/model.ts";
import type { Run } from "../worker/run.ts";
import { costMicrosOf, countersOf } from "./prices.ts";

/** The provider's name in the usage that is reported. */
const PROVIDER = "openai-compatible";

/** What the model said: kept as the output of the step, and read from there by a run that need not call again. */
const said = z.object({
  text: z.string(),
  toolCalls: z.array(z.object({ toolCallId: z.string(), toolName: z.string(), input: z.unknown() })),
});
export type Said = z.infer<typeof said>;

interface Prompt {
  readonly system: string;
  readonly messages: ModelMessage[];
  readonly tools?: ToolSet;
  /** Gets the words as they come; all at once, if an earlier run has made the call. */
  readonly onText?: (text: string) => void;
}

/** Calls the model as a step of the run, under a name: a run of the job that finds the step done does not pay for it again. */
export type CallModel = (run: Run, nodeId: string, prompt: Prompt) => Promise<Said>;

/** The AI SDK's way to a model, each call of which is a step, and reports what it used. */
export function modelCaller({ baseURL, model, apiKey }: ModelSettings): CallModel {
  const settings = { name: PROVIDER, baseURL, includeUsage: true, ...(apiKey === undefined ? {} : { apiKey }) };
  const languageModel = createOpenAICompatible(settings).chatModel(model);
  return async (run, nodeId, { onText, ...prompt }) => {
    let made: ModelUsageInput | undefined;
    const call = async (signal: AbortSignal) => {
      const { usage, ...value } = await stream(languageModel, prompt, signal, onText);
      const counters = countersOf(usage);
      made = { provider: PROVIDER, model, ...counters, costMicros: costMicrosOf(model, counters) };
      return { value, outputPayload: value, metrics: { usage: [made] } };
    };
    const step = { nodeId, nodeType: "llm_call", inputPayload: { model, messages: prompt.messages.length } };
    const known = (output: unknown) => said.safeParse(output).data;
    try {
      const value = await run.step(step, call, known);
      if (made === undefined) onText?.(value.text);
      return value;
    } catch (error) {
      // The call was made, and its report refused. STOP_FAILED may be for a budget that this very report passed, and then it counted.
      const isLost = error instanceof Stopped && error.directive !== "STOP_FAILED";
      if (made !== undefined && isLost) await run.reportUsage([made]);
      throw error;
    }
  };
}

/** One call, cut off where the run is stopped. It is not repeated here: a job that fails is tried again by the server. */
async function stream(
  model: LanguageModel,
  prompt: Omit<Prompt, "onText">,
  abortSignal: AbortSignal,
  onText: Prompt["onText"],
) {
  // What goes wrong comes as a part of the stream, too; the SDK would also print it.
  const result = streamText({ model, ...prompt, abortSignal, maxRetries: 0, onError: () => undefined });
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") onText?.(part.text);
    if (part.type === "error") throw part.error;
  }
  abortSignal.throwIfAborted();
  const toolCalls = (await result.toolCalls).map(({ toolCallId, toolName, input }) => ({
    toolCallId,
    toolName,
    input,
  }));
  return { text: await result.text, toolCalls, usage: await result.usage };
}
