import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";
import { countTokens } from "../../worker/tokens.ts";
import type { Counters } from "../prices.ts";
import { type Line, lineFor } from "./script.ts";

/** A server that speaks OpenAI's chat protocol and answers by a script: the example needs no network, no key and no model. */

export const SCRIPTED_MODEL = "scripted-1";

/** One call that was answered: what it was asked, as a hash of the whole prompt, and what it is billed for. */
export interface ModelCall {
  readonly prompt: string;
  readonly counters: Counters;
}

export interface ScriptedModel {
  readonly baseURL: string;
  /** The calls that were answered, in order. */
  readonly calls: readonly ModelCall[];
  close(): Promise<void>;
}

/** Milliseconds between two words. */
const WORD_MS = 25;

const chatRequest = z.object({
  stream: z.literal(true),
  messages: z.array(
    z.object({
      role: z.string(),
      content: z
        .string()
        .nullish()
        .transform((text) => text ?? ""),
    }),
  ),
});
type ChatRequest = z.infer<typeof chatRequest>;

/**
 * @param draftGoesOn the draft of the report stops halfway until this is fulfilled: there is time to do something in the middle.
 * @param onCall told of each call, before it is answered.
 */
export async function startScriptedModel(
  draftGoesOn: Promise<void>,
  onCall: (call: ModelCall, number: number) => void = () => undefined,
): Promise<ScriptedModel> {
  const calls: ModelCall[] = [];
  const systems = new Set<string>();
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await json(request);
    const { messages } = chatRequest.parse(body);
    const line = lineFor(messages);
    const counters = bill(messages, line, systems);
    const prompt = createHash("sha256").update(JSON.stringify(body)).digest("hex").slice(0, 12);
    const call = { prompt, counters };
    onCall(call, calls.push(call));
    response.writeHead(200, { "content-type": "text/event-stream" });
    for await (const part of partsOf(line, draftGoesOn)) response.write(`data: ${JSON.stringify(part)}\n\n`);
    response.end(`data: ${JSON.stringify(closing(line, counters))}\n\ndata: [DONE]\n\n`);
  };
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: String(error), type: "script" } }));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { baseURL: `http://127.0.0.1:${port}/v1`, calls, close };
}

/** What a provider counts: who is asked in the same words again finds those in the cache. */
function bill(messages: ChatRequest["messages"], line: Line, systems: Set<string>): Counters {
  const [system, ...rest] = messages.map(({ content }) => content);
  const isCached = systems.has(system ?? "");
  systems.add(system ?? "");
  const [systemTokens, restTokens] = [countTokens(system ?? ""), countTokens(rest.join("\n"))];
  return {
    inputTokens: restTokens + (isCached ? 0 : systemTokens),
    cachedInputTokens: isCached ? systemTokens : 0,
    outputTokens: countTokens(line.text + (line.query ?? "")),
    reasoningTokens: line.reasoningTokens,
  };
}

/** The parts of the stream before the last one: a call of the tool, or the words of the text as a model makes them. */
async function* partsOf({ text, query, isDraft }: Line, draftGoesOn: Promise<void>) {
  if (query !== undefined) {
    const call = { name: "search", arguments: JSON.stringify({ query }) };
    yield part({ role: "assistant", tool_calls: [{ index: 0, id: "call_1", type: "function", function: call }] });
    return;
  }
  const words = text.match(/\S+\s*/g) ?? [];
  for (const [at, word] of words.entries()) {
    if (isDraft && at === Math.floor(words.length / 2)) await draftGoesOn;
    await setTimeout(WORD_MS);
    yield part({ role: "assistant", content: word });
  }
}

function part(delta: object, finish_reason: string | null = null) {
  const choices = [{ index: 0, delta, finish_reason }];
  return { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1_700_000_000, model: SCRIPTED_MODEL, choices };
}

/** The last part, with the bill in OpenAI's way: cached tokens are among the prompt's, reasoning is among the completion's. */
function closing({ query }: Line, { inputTokens, cachedInputTokens, outputTokens, reasoningTokens }: Counters) {
  const prompt_tokens = inputTokens + cachedInputTokens;
  const completion_tokens = outputTokens + reasoningTokens;
  const usage = {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
  return { ...part({}, query === undefined ? "stop" : "tool_calls"), usage };
}
