import { type TypedDocument, textOf } from "./document.ts";
import { JobServerError, UnansweredError } from "./errors.ts";
import { eventsOf } from "./event-stream.ts";
import { type Answer, type Connection, dataOf, headersOf, refusalIn } from "./request.ts";
import { Silence } from "./silence.ts";
import { trust } from "./trust.ts";

/**
 * Runs a subscription over a connection of its own, once, until it completes.
 * @throws UnansweredError where it breaks off; JobServerError where it is refused; the reason of `signal`, once it is aborted.
 */
export async function* subscribeOnce<Data, Variables>(
  connection: Connection,
  operation: TypedDocument<Data, Variables>,
  variables: Variables,
  signal: AbortSignal,
  onOpen?: () => void,
): AsyncGenerator<Data, void, undefined> {
  const silence = new Silence();
  try {
    const response = await fetch(connection.url, {
      method: "POST",
      headers: { ...headersOf(connection), "content-type": "application/json", accept: "text/event-stream" },
      body: JSON.stringify({ query: textOf(operation), variables }),
      // As `request`: for the server that was named, and for no other.
      redirect: "manual",
      signal: AbortSignal.any([signal, silence.signal]),
    });
    const isStream = response.ok && response.headers.get("content-type")?.startsWith("text/event-stream");
    if (!isStream || !response.body) throw await refusalIn(response);
    onOpen?.();
    for await (const { event, data } of eventsOf(response.body, silence)) {
      if (event === "complete") return;
      if (event === "next") yield dataOf(trust<Answer<Data>>(JSON.parse(data)));
    }
    throw new UnansweredError("The stream broke off.");
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof JobServerError || cause instanceof UnansweredError) throw cause;
    throw new UnansweredError("The stream broke off.", { cause });
  } finally {
    silence.end();
  }
}
