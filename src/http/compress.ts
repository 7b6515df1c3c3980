import type { IncomingMessage, ServerResponse } from "node:http";
import compression from "compression";

/** Answers of fewer bytes are not compressed: it would save less than it costs. */
const MIN_BYTES = 1024;

/** The middleware, as Node's HTTP server can call it: its types are Express', though it uses nothing of Express. */
interface Middleware {
  handle(request: IncomingMessage, response: ServerResponse, next: () => void): void;
}

/**
 * Compresses answers of more than 1 kB where the client accepts it. Never streams: an event would wait in the compressor until
 * more has come.
 */
const COMPRESSION: Middleware = {
  handle: compression({
    threshold: MIN_BYTES,
    filter: (request, response) => !isStream(response) && compression.filter(request, response),
  }),
};

function isStream(response: ServerResponse): boolean {
  const type = response.getHeader("content-type");
  return typeof type === "string" && /^(text\/event-stream|multipart\/)/.test(type);
}

/** @returns the request listener, with its answers compressed. */
export function compressed<Context>(
  listener: (request: IncomingMessage, response: ServerResponse, context: Context) => void,
): (request: IncomingMessage, response: ServerResponse, context: Context) => void {
  return (request, response, context) => {
    // Most workers accept no encoding, and need not pay for what the middleware does to every answer.
    if (request.headers["accept-encoding"] === undefined) listener(request, response, context);
    else COMPRESSION.handle(request, response, () => listener(request, response, context));
  };
}
