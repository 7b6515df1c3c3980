import type { RunContext } from "@ai-job-server/sdk/worker";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { type ModelMessage, streamText, type ToolSet } from "ai";
import type { ModelSettings } from "../worker/model.ts";

/** The provider's name in the usage that is reported. */
const PROVIDER = "openai-compatible";

/** What the model said: kept as the output of the step, and read from there by a run that need not call again. */
export interface Said {
  readonly text: string;
  readonly toolCalls: readonly { readonly toolCallId: string; readonly toolName: string; readonly input: unknown }[];
}

interface Prompt {
  readonly system: string;
  readonly messages: ModelMessage[];
  readonly tools?: ToolSet;
  /** Gets the words as they come; all at once, if an earlier run has made the call. */
  readonly onText?: (text: string) => void;
}

/** Calls the model as a step of the run, under a name: a run of the job that finds the step done does not pay for it again. */
export type CallModel = (ctx: Pick<RunContext, "step">, name: string, prompt: Prompt) => Promise<Said>;

/** The AI SDK's way to a model, each call of which is a step, and is counted by the kit. */
export function modelCaller({ baseURL, model, apiKey }: ModelSettings): CallModel {
  const settings = { name: PROVIDER, baseURL, includeUsage: true, ...(apiKey === undefined ? {} : { apiKey }) };
  const languageModel = createOpenAICompatible(settings).chatModel(model);
  return async (ctx, name, { onText = () => undefined, ...prompt }) => {
    const options = { type: "llm_call", input: { model, messages: prompt.messages }, provider: PROVIDER };
    let isHeard = false;
    const said = await ctx.step(name, options, async ({ signal, track }): Promise<Said> => {
      isHeard = true;
      // Not repeated here: a job that fails is tried again by the server. What goes wrong comes as a part of the stream; the SDK would print it.
      const quietly = { maxRetries: 0, onError: () => undefined };
      const result = streamText({ model: languageModel, ...prompt, abortSignal: signal, ...quietly, ...track });
      for await (const part of result.fullStream) {
        if (part.type === "text-delta") onText(part.text);
        if (part.type === "error") throw part.error;
      }
      signal.throwIfAborted();
      const toolCalls = await result.toolCalls;
      return {
        text: await result.text,
        toolCalls: toolCalls.map(({ toolCallId, toolName, input }) => ({ toolCallId, toolName, input })),
      };
    });
    if (!isHeard) onText(said.text);
    return said;
  };
}
