import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import { z } from "zod";

const chatRequest = z.object({
  model: z.string(),
  messages: z.array(z.object({ role: z.string(), content: z.string() })),
});

export interface ChatRequest extends z.infer<typeof chatRequest> {
  readonly authorization: string | undefined;
}

/** What the model answers: a text with its bill, or a refusal with this status. */
export type ChatAnswer = { readonly text: string; readonly usage?: [number, number] } | { readonly status: number };

/** A server that speaks OpenAI's chat protocol, and remembers what it was asked. */
export async function startModelServer(answer: (request: ChatRequest) => ChatAnswer | Promise<ChatAnswer>) {
  const requests: ChatRequest[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const asked = { ...chatRequest.parse(await json(request)), authorization: request.headers.authorization };
    requests.push(asked);
    const given = await answer(asked);
    const body = "status" in given ? { error: { message: "The model refuses.", type: "refused" } } : completion(given);
    response.writeHead("status" in given ? given.status : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { baseURL: `http://127.0.0.1:${port}/v1`, requests, close };
}

function completion({ text, usage }: Extract<ChatAnswer, { text: string }>) {
  const [prompt_tokens, completion_tokens] = usage ?? [0, 0];
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1_700_000_000,
    model: "test-model",
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
    ...(usage ? { usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens } } : {}),
  };
}
