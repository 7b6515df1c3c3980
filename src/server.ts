import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { ErrorCode } from "./errors.ts";
import { createGraphQL, type GraphQLOptions } from "./http/graphql.ts";
import { serveWebSocket } from "./http/websocket/websocket.ts";

export interface AiJobServer {
  readonly http: Server;
  /** Refuses new work, ends the streams, lets requests in flight finish; then the port is free. */
  close(): Promise<void>;
}

/** Milliseconds that requests in flight may take to finish while the server stops. */
const GRACE_MS = 5000;
/** Longer than proxies keep a connection that nothing happens on: it must not be this side that closes it under a request. */
const KEEP_ALIVE_MS = 65_000;

/** The server, not yet listening. */
export function createServer(options: GraphQLOptions): AiJobServer {
  const stopping = new AbortController();
  const yoga = createGraphQL(options, stopping.signal);
  const http = createHttpServer((request, response) => {
    if (stopping.signal.aborted) refuseWhileStopping(request, response);
    else if (!hasAddress(request)) refuseAddress(response);
    else void yoga(request, response);
  });
  http.keepAliveTimeout = KEEP_ALIVE_MS;
  const closeIdle = createIdleCloser(http);
  const sockets = serveWebSocket(http, yoga, options);
  const close = async () => {
    stopping.abort();
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    const idle = setInterval(closeIdle, 20);
    const late = setTimeout(() => http.closeAllConnections(), GRACE_MS);
    // Before the feed ends: a socket's client is then told that the server goes, and not that its subscription is over.
    const socketsClosed = sockets.close();
    await Promise.all([options.feed.close(), options.claimer.close(), socketsClosed]);
    await closed;
    clearInterval(idle);
    clearTimeout(late);
  };
  return { http, close };
}

/** @returns what closes the connections that would be kept for a next request, or for a first one. */
function createIdleCloser(http: Server): () => void {
  const connections = new Set<Socket>();
  http.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  return () => {
    http.closeIdleConnections();
    // Clients open some ahead, browsers among them. Node counts one that nothing has come over as busy.
    for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
  };
}

/** Whether host and target make an address: Yoga would answer anything else as a fault of its own. */
function hasAddress({ headers: { host }, url = "" }: IncomingMessage): boolean {
  return URL.canParse(`http://${host || "localhost"}${url}`);
}

function refuseAddress(response: ServerResponse): void {
  const message = "Send a Host header and a path that make an address.";
  const code: ErrorCode = "INVALID_INPUT";
  response.writeHead(400, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}

/** For what comes over a connection that was kept, once the server stops. */
function refuseWhileStopping({ headers, socket }: IncomingMessage, response: ServerResponse): void {
  // A browser that reads events gives up for good on a status; where its connection breaks, it comes back.
  if (headers.accept?.includes("text/event-stream")) {
    socket.destroy();
    return;
  }
  const code: ErrorCode = "TRY_AGAIN";
  const message = "The server stops. Nothing was kept; send the same again, to another one.";
  response.writeHead(503, { "content-type": "application/json", connection: "close", "retry-after": "1" });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
}
