import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";
import type { ErrorCode } from "./errors.ts";
import { authenticated, type Caller } from "./http/authentication.ts";
import { compressed } from "./http/compress.ts";
import { isOfConsole, serveConsole } from "./http/console.ts";
import { createGraphQL, type GraphQLOptions } from "./http/graphql.ts";
import { boundOutgoing } from "./http/outgoing.ts";
import { RequestLog } from "./http/request-log.ts";
import { inTurn } from "./http/turns.ts";
import { serveWebSocket } from "./http/websocket/websocket.ts";
import { OPEN } from "./identity/authenticator.ts";
import { createLogin } from "./identity/login.ts";

/** The HTTP server of the API, and how to stop it. */
export interface AiJobServer {
  readonly http: Server;
  /** Refuses new requests, ends the streams, and lets running requests finish; resolves when the port is free. */
  close(): Promise<void>;
}

/** Milliseconds that running requests may take to finish while the server stops. */
const GRACE_MS = 5000;
/**
 * Milliseconds after which an idle connection is closed: longer than proxies keep one. If the server closed it first, a
 * proxy might send a request on it at that moment, and the request would fail.
 */
const KEEP_ALIVE_MS = 65_000;
/** Milliseconds within which a request's headers, and the whole of it, must have come: a slow sender keeps a connection open. */
const HEADERS_MS = 20_000;
const REQUEST_MS = 60_000;
/** Milliseconds between two looks for requests that take longer. */
const CHECK_MS = 5_000;
/** Milliseconds in which a client reads something of an answer, or of a stream, that waits for it. */
const UNREAD_MS = 30_000;

/** Bytes that may wait for all clients together: as many as the longest answer of all, since a text of V8 has 512 MB at most. */
const MAX_OUTGOING_BYTES = 512 * 1024 * 1024;

/** Who counts the errors that operations were answered with. */
export interface ErrorCounter {
  readonly onErrors?: ((codes: ReadonlySet<string>) => void) | undefined;
}

/** Times and bounds that tests make smaller. */
export interface ServerBounds {
  readonly maxOutgoingBytes?: number;
  readonly requestMs?: number;
  readonly checkMs?: number;
  readonly unreadMs?: number;
}

/** Makes the HTTP server with its WebSockets; it does not listen yet. */
export function createServer(options: GraphQLOptions & ServerBounds & ErrorCounter): AiJobServer {
  const { requestMs = REQUEST_MS, checkMs = CHECK_MS, unreadMs = UNREAD_MS } = options;
  const { maxOutgoingBytes = MAX_OUTGOING_BYTES } = options;
  const stopping = new AbortController();
  const { log, proxies, authenticator, trustedDocuments } = options;
  const requests = new RequestLog({ log, proxies, hasAuth: authenticator !== OPEN, onErrors: options.onErrors });
  const yoga = createGraphQL(options, requests, stopping.signal);
  const answer = compressed<Caller>((request, response, caller) => {
    if (caller.principal) requests.identify(request, caller.principal);
    if (isOfConsole(request)) serveConsole(request, response);
    else if (hasAddress(request)) void yoga(request, response, caller);
    else refuseAddress(response);
  });
  const login = createLogin(authenticator, options.rates?.failedLogins);
  const { publicUrl } = options;
  const answerCallers = authenticated(login, { publicUrl, proxies, hasPage: !trustedDocuments }, answer);
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    requests.watch(request, response);
    if (stopping.signal.aborted) refuseWhileStopping(request, response);
    else answerCallers(request, response);
  };
  const http = createHttpServer({ connectionsCheckingInterval: checkMs }, inTurn(listener));
  http.keepAliveTimeout = KEEP_ALIVE_MS;
  http.requestTimeout = requestMs;
  http.headersTimeout = Math.min(HEADERS_MS, requestMs);
  closeUnread(http, unreadMs, log);
  boundOutgoing(http, maxOutgoingBytes, log);
  const closeIdle = createIdleCloser(http);
  const sockets = serveWebSocket(http, yoga, requests, options);
  const close = async () => {
    stopping.abort();
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    // Repeated, because a connection becomes idle when its last request ends.
    const idleTimer = setInterval(closeIdle, 20);
    const graceTimer = setTimeout(() => http.closeAllConnections(), GRACE_MS);
    // Started before the feed closes: clients then see their socket close with 1001 and resume elsewhere. If the feed
    // were first, they would be told that their subscriptions are complete.
    const socketsClosed = sockets.close();
    await Promise.all([options.feed.close(), options.claimer.close(), socketsClosed]);
    await closed;
    clearInterval(idleTimer);
    clearTimeout(graceTimer);
  };
  return { http, close };
}

/** @returns a function that closes all connections without a running request, those that never had one included. */
function createIdleCloser(http: Server): () => void {
  const connections = new Set<Socket>();
  http.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  return () => {
    http.closeIdleConnections();
    // Browsers and other clients open connections in advance. Node counts one without any data as busy.
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
  };
}

/**
 * Closes a connection whose client has read nothing for a while of what waits for it: the rest of an answer, or of a stream, stays
 * in this process until it does. Node starts the time anew whenever a part of it has gone.
 */
function closeUnread(http: Server, ms: number, log: Logger): void {
  http.timeout = ms;
  const running = new WeakMap<Socket, ServerResponse>();
  http.on("request", ({ socket }, response) => {
    running.set(socket, response);
    // Yoga's adapter takes the time away from what it sends as a stream.
    response.once("pipe", () => socket.setTimeout(ms));
  });
  http.on("timeout", (socket: Socket) => {
    const isAnswering = running.get(socket)?.closed === false;
    // Nothing waits for the client: it is the client that waits, for jobs or for the next event.
    if (isAnswering && socket.writableLength === 0) return;
    if (isAnswering) log.info("a connection was closed: its client does not read");
    socket.destroy();
  });
}

/** Whether there is one Host header at most, a name or an address with a port, which forms a valid URL with the target. */
function hasAddress({ headersDistinct: { host: hosts = [] }, url = "" }: IncomingMessage): boolean {
  const [host = "localhost"] = hosts;
  return hosts.length <= 1 && /^[\w.\-:[\]]*$/.test(host) && URL.canParse(`http://${host || "localhost"}${url}`);
}

function refuseAddress(response: ServerResponse): void {
  const message = "The Host header and the path do not form a valid URL. Correct them.";
  const code: ErrorCode = "INVALID_INPUT";
  response.writeHead(400, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}

/** Answers a request that arrives on an open connection while the server stops. */
function refuseWhileStopping({ headers, socket }: IncomingMessage, response: ServerResponse): void {
  // A browser's EventSource never reconnects after an error status, but does after a broken connection.
  if (headers.accept?.includes("text/event-stream")) {
    socket.destroy();
    return;
  }
  const code: ErrorCode = "TRY_AGAIN";
  const message = "The server is stopping. Nothing was kept; send the same again, to another server.";
  response.writeHead(503, { "content-type": "application/json", connection: "close", "retry-after": "1" });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}
