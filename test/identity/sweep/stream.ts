import { type Caller, headersOf, type Reply } from "./workspace.ts";

/** An event stream, with all that it has told. */
export interface OpenStream {
  /** Whether the server has ended it. */
  hasEnded(): boolean;
  reply(): Reply;
  close(): void;
}

/** Subscribes over SSE. */
export function openStream(url: string, caller: Caller, query: string, variables: object): OpenStream {
  const aborter = new AbortController();
  let status = 0;
  let text = "";
  let hasEnded = false;
  const read = async () => {
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headersOf(caller), accept: "text/event-stream" },
      body: JSON.stringify({ query, variables }),
      signal: aborter.signal,
    });
    status = response.status;
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
  };
  void read()
    .catch(() => undefined)
    .finally(() => {
      hasEnded = true;
    });
  return {
    hasEnded: () => hasEnded,
    // Without the comments that keep it open.
    reply: () => ({ status, body: text.replaceAll(/^:.*\n+/gm, "") }),
    close: () => aborter.abort(),
  };
}
