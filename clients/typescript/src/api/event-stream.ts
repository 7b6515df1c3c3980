import type { Silence } from "./silence.ts";
import { trust } from "./trust.ts";

/** An event of a text/event-stream. */
export interface StreamEvent {
  readonly event: string;
  readonly data: string;
}

/**
 * Reads the events of a text/event-stream (HTML Standard, "Server-sent events"), as they come.
 * @param silence told of every piece that arrives, also of the comments by which a silent stream shows that it lives.
 */
export async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  silence: Silence,
): AsyncGenerator<StreamEvent, void, undefined> {
  let rest = "";
  let data: string[] = [];
  let event = "message";
  const reader = body.pipeThrough(trust<ReadableWritablePair<string, Uint8Array>>(new TextDecoderStream())).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      silence.heard();
      rest += value;
      // A CR at the end may be the first half of a line's end.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { event, data: data.join("\n") };
          data = [];
          event = "message";
          continue;
        }
        const at = line.indexOf(":");
        const field = at < 0 ? line : line.slice(0, at);
        const text = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
        if (field === "data") data.push(text);
        else if (field === "event") event = text;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
