import { IncomingMessage, type Server } from "node:http";
import { type Logger, pino } from "pino";
import { WebSocket } from "ws";

/**
 * What servers log in tests is held against all that is sent to them: no credential, variable or text of a document may be in it. Every
 * server that a test starts in this process is watched, so the whole suite is the test.
 */

/** Shorter ones are words, numbers and names that a log may have by itself. */
const MIN_LENGTH = 12;
/** Of a longer text only the beginning is sought: a log that quotes it may cut it off. */
const SOUGHT_LENGTH = 40;
/** Of a larger body only the headers are looked at. */
const MAX_BODY = 256 * 1024;
/** Ids, pieces of ids, which the fuzzer sends, and enum values are no content, and the log has both. */
const HARMLESS = /^(?:[0-9a-f]{12}|(?=.*-)[0-9a-f-]{1,36}|[A-Z][A-Z_]+)$/i;

/** Beginnings of the texts and secrets that were sent, by all tests of this process. */
const sent = new Set<string>();

function remember(value: unknown): void {
  if (typeof value === "string") {
    const text = value.trim();
    if (text.length >= MIN_LENGTH && !HARMLESS.test(text)) sent.add(text.slice(0, SOUGHT_LENGTH));
  } else if (typeof value === "object" && value !== null) {
    for (const inner of Object.values(value)) remember(inner);
  }
}

/** Remembers the secret of a credential, which stands behind its scheme, and the values of cookies. */
export function rememberHeaders(headers: Readonly<Record<string, unknown>>): void {
  for (const name of ["authorization", "cookie"])
    if (typeof headers[name] === "string") for (const part of headers[name].split(/[\s,;=]+/)) remember(part);
}

/** @param operation a request's body, or the payload of a WebSocket's message. */
export function rememberOperation(operation: unknown): void {
  if (typeof operation !== "object" || operation === null) return;
  if ("variables" in operation) remember(operation.variables);
  if ("query" in operation)
    for (const [, literal] of String(operation.query).matchAll(/"([^"\\\n]{12,})"/g)) remember(literal);
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Looks at all requests of a server, as they come in. */
function watchRequests(http: Server): void {
  http.prependListener("request", (request) => {
    rememberHeaders(request.headers);
    const { searchParams } = new URL(`http://host${URL.canParse(`http://host${request.url}`) ? request.url : "/"}`);
    rememberOperation({
      query: searchParams.get("query"),
      variables: tryParse(searchParams.get("variables") ?? ""),
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Without reading it: that is for the server alone.
    request.push = (chunk: unknown, encoding) => {
      if (Buffer.isBuffer(chunk)) {
        bytes += chunk.length;
        if (bytes <= MAX_BODY) chunks.push(chunk);
      } else if (chunk === null && bytes <= MAX_BODY) rememberOperation(tryParse(Buffer.concat(chunks).toString()));
      return IncomingMessage.prototype.push.call(request, chunk, encoding);
    };
  });
  http.prependListener("upgrade", (request) => rememberHeaders(request.headers));
}

/** The clients of the tests and the server have one class of sockets; what the server sends is neither of these messages. */
WebSocket.prototype.send = new Proxy(WebSocket.prototype.send, {
  apply(send, socket, args: unknown[]): unknown {
    rememberMessage(args[0]);
    return Reflect.apply(send, socket, args);
  },
});

function rememberMessage(data: unknown): void {
  if (typeof data !== "string" || data.length > MAX_BODY || !/"(subscribe|connection_init)"/.test(data)) return;
  const message = tryParse(data);
  if (typeof message !== "object" || message === null || !("payload" in message)) return;
  rememberOperation(message.payload);
  if ("type" in message && message.type === "connection_init") rememberPayload(message.payload);
}

function rememberPayload(payload: unknown): void {
  if (typeof payload === "object" && payload !== null) rememberHeaders({ ...payload });
}

/** A log of a server, and whether it has anything that was sent. */
export interface WatchedLog {
  readonly log: Logger;
  /** Looks at all requests of this server. */
  watch(http: Server): void;
  /** @throws Error if anything that any test has sent was logged. */
  assertNothingSent(): void;
}

/** @param onLine called with each line. */
export function watchedLog(onLine: (line: string) => void = () => undefined): WatchedLog {
  // What differs from line to line is no text, and without it most lines are the same.
  const lines = new Set<string>();
  const write = (line: string) => {
    onLine(line);
    lines.add(line.replaceAll(/"(time|ms|traceId|pid)":("[0-9a-f]*"|\d+),?/g, ""));
  };
  return {
    log: pino({ level: "trace" }, { write }),
    watch: watchRequests,
    assertNothingSent: () => assertNothingSent([...lines]),
  };
}

/** @throws Error that names the first line with anything that any test has sent. */
export function assertNothingSent(lines: readonly string[]): void {
  const logged = lines.join("\n");
  for (const text of sent) {
    // As it stands in a JSON text.
    const written = JSON.stringify(text).slice(1, -1);
    if (!logged.includes(written)) continue;
    const line = lines.find((each) => each.includes(written));
    throw new Error(`The log has what a client sent, ${JSON.stringify(text)}: ${line}`);
  }
}
