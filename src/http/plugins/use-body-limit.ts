import { GraphQLError } from "graphql";
import type { Plugin } from "graphql-yoga";

/**
 * Refuses a body that is too large with 413.
 * Yoga's own limit sends every body through a stream that counts, which costs as much as all else of a small request.
 * Where the length is told there is nothing to count: Node reads that many bytes and no more.
 */
export function useBodyLimit(maxBytes: number): Plugin {
  return {
    onRequestParse({ request, requestParser, setRequestParser, fetchAPI }) {
      const contentLength = request.headers.get("content-length");
      if (contentLength !== null && Number(contentLength) > maxBytes) throw bodyTooLarge(maxBytes);
      if (contentLength !== null || !requestParser) return;
      setRequestParser(async ({ url, method, headers, body }) => {
        const read = body ? await readAtMost(maxBytes, body) : null;
        return requestParser(new fetchAPI.Request(url, { method, headers, body: read }));
      });
    },
  };
}

/** A body that came in chunks. The rest of one that is too large is not cancelled: that would cut the answer off, too. */
async function readAtMost(maxBytes: number, body: ReadableStream<Uint8Array>): Promise<string> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes += part.value.byteLength;
    if (bytes > maxBytes) throw bodyTooLarge(maxBytes);
    chunks.push(part.value);
  }
  return Buffer.concat(chunks).toString();
}

function bodyTooLarge(maxBytes: number): GraphQLError {
  return new GraphQLError(`The request's body is too large: ${maxBytes} bytes are read at most.`, {
    extensions: { http: { status: 413 } },
  });
}
