import { type TypedDocument, textOf } from "./document.ts";
import { JobServerError, UnansweredError } from "./errors.ts";
import { eventsOf } from "./event-stream.ts";
import { type Answer, type Connection, dataOf, headersOf, refusalOf } from "./request.ts";
import { trust } from "./trust.ts";

/** A silent stream shows a sign of life every 12 seconds; one that shows none for so long, in milliseconds, is dead. */
const SILENCE_MS = 30_000;

/**
 * Runs a subscription over a connection of its own, once, until it completes.
 * @throws UnansweredError where it breaks off; JobServerError where it is refused; the reason of `signal`, once it is aborted.
 */
export async function* subscribeOnce<Data, Variables>(
  connection: Connection,
  operation: TypedDocument<Data, Variables>,
  variables: Variables,
  signal: AbortSignal,
): AsyncGenerator<Data, void, undefined> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onByte = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  onByte();
  try {
    const body = await open(connection, operation, variables, AbortSignal.any([signal, silence.signal]));
    for await (const { event, data } of eventsOf(body, onByte)) {
      if (event === "complete") return;
      if (event !== "next") continue;
      yield dataOf(trust<Answer<Data>>(JSON.parse(data)));
    }
    throw new UnansweredError("The stream broke off.");
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof JobServerError || cause instanceof UnansweredError) throw cause;
    throw new UnansweredError("The stream broke off.", { cause });
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

async function open<Data, Variables>(
  connection: Connection,
  operation: TypedDocument<Data, Variables>,
  variables: Variables,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const response = await fetch(connection.url, {
    method: "POST",
    headers: { ...headersOf(connection), "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify({ query: textOf(operation), variables }),
    signal,
  });
  if (response.ok && response.headers.get("content-type")?.startsWith("text/event-stream") && response.body)
    return response.body;
  const answer: unknown = await response.json().catch(() => null);
  const errors = typeof answer === "object" && answer !== null && "errors" in answer ? answer.errors : null;
  if (!Array.isArray(errors)) throw new UnansweredError(`HTTP ${response.status} without a stream.`);
  throw refusalOf(errors, response);
}
