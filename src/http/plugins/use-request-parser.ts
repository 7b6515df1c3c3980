import { isUtf8 } from "node:buffer";
import { GraphQLError } from "graphql";
import type { GraphQLParams, Plugin } from "graphql-yoga";
import { IncomingBodies, type IncomingBody } from "../incoming-bodies.ts";
import { excessOf, type JsonLimits } from "../json-text.ts";
import { documentTooLong } from "./use-documents.ts";

/** Limits of a request's body. */
export interface BodyLimits extends JsonLimits {
  readonly maxBytes: number;
  /** The most bytes of all bodies that are being received. */
  readonly maxIncomingBytes: number;
}

/** Bytes of a body that is received without being counted: as much as a connection takes anyway. */
const UNCOUNTED_BYTES = 16 * 1024;

/**
 * Reads the parameters of a request, in place of Yoga's own parsers: they bound neither the levels nor the number of values of a
 * body, send every body through a counting stream, and fail on query parameters that are no JSON.
 */
export function useRequestParser(limits: BodyLimits): Plugin {
  const incoming = new IncomingBodies(limits.maxIncomingBytes);
  return {
    onRequestParse({ request, url, requestParser, setRequestParser }) {
      if (!requestParser) return;
      if (request.method === "GET") {
        for (const name of ["variables", "extensions"]) checkParameter(name, url.searchParams.get(name), limits);
        return;
      }
      refuseEncoded(request.headers.get("content-encoding"));
      const length = request.headers.get("content-length");
      if (length !== null && Number(length) > limits.maxBytes) throw bodyTooLarge(limits.maxBytes);
      setRequestParser(async (sent) => {
        // With a length no counting is needed, because Node reads no more than that many bytes; a stream costs as much as all else.
        if (length !== null && Number(length) <= UNCOUNTED_BYTES) return parseBody(await bytesOf(sent), limits);
        const body = incoming.begin(Number(length));
        const read = length === null ? readAtMost(limits.maxBytes, sent.body, body) : bytesOf(sent);
        read.catch(() => undefined);
        return parseBody(await Promise.race([read, body.evicted]).finally(() => body.end()), limits);
      });
    },
  };
}

/** What is compressed would have to be unpacked to be measured. */
function refuseEncoded(encoding: string | null): void {
  if (encoding === null || encoding === "" || encoding === "identity") return;
  const message = "A request's body is sent as it is: this content-encoding is not accepted. Leave it out.";
  throw new GraphQLError(message, { extensions: { code: "INVALID_INPUT", http: { status: 415 } } });
}

function checkParameter(name: string, text: string | null, limits: JsonLimits): void {
  if (text === null || text === "") return;
  if (!isObject(parseJson(text, limits))) throw refusal(`${name} must be a JSON object.`);
}

function parseBody(bytes: Uint8Array, limits: JsonLimits): GraphQLParams {
  // Read as text, bytes that are none would be replaced, which changes what is kept, and takes ten times as long.
  if (!isUtf8(bytes)) throw refusal("The body is not UTF-8. JSON is sent in UTF-8.");
  const { buffer, byteOffset, byteLength } = bytes;
  const params = parseJson(Buffer.from(buffer, byteOffset, byteLength).toString(), limits);
  if (isObject(params)) return params;
  throw refusal("The body must be a JSON object with `query`, and `variables` where there are any.");
}

/** @returns undefined where the text is no JSON. */
function parseJson(text: string, limits: JsonLimits): unknown {
  switch (excessOf(text, limits)) {
    case "maxDepth":
      throw refusal(`The request is nested deeper than ${limits.maxDepth} levels.`);
    case "maxValues":
      throw refusal(`The request has more than ${limits.maxValues} values. Send less at a time.`);
    case "maxQuery":
      throw documentTooLong();
    case undefined:
      break;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function bytesOf(request: Request): Promise<Uint8Array> {
  try {
    return await request.bytes();
  } catch {
    throw endedEarly();
  }
}

/**
 * Reads a body. If it is too large, the rest is not cancelled: that would close the connection before the answer is sent.
 */
async function readAtMost(
  maxBytes: number,
  body: ReadableStream<Uint8Array> | null,
  incoming: IncomingBody,
): Promise<Uint8Array> {
  if (!body) return Buffer.alloc(0);
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const next = () =>
    reader.read().catch(() => {
      throw endedEarly();
    });
  for (let part = await next(); !part.done; part = await next()) {
    bytes += part.value.byteLength;
    incoming.add(part.value.byteLength);
    if (bytes > maxBytes) throw bodyTooLarge(maxBytes);
    chunks.push(part.value);
  }
  return Buffer.concat(chunks);
}

function endedEarly(): GraphQLError {
  return refusal("The request ended before its body did.");
}

function bodyTooLarge(maxBytes: number): GraphQLError {
  const message = `The request body is too large. At most ${maxBytes} bytes are accepted.`;
  return new GraphQLError(message, { extensions: { http: { status: 413 } } });
}

function refusal(message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code: "INVALID_INPUT", http: { status: 400 } } });
}
