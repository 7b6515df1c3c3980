import { createServer as createHttpServer, type Server } from "node:http";
import { createGraphQL, type GraphQLOptions } from "./http/graphql.ts";
import { serveWebSocket } from "./http/websocket.ts";

export interface AiJobServer {
  readonly http: Server;
  /** Stops taking work, ends the streams, lets requests in flight finish; then the port is free. */
  close(): Promise<void>;
}

/** The server, not yet listening. */
export function createServer(options: GraphQLOptions): AiJobServer {
  const yoga = createGraphQL(options);
  const http = createHttpServer((request, response) => void yoga(request, response));
  const sockets = serveWebSocket(http, yoga, options);
  const close = async () => {
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    await options.feed.close();
    await options.waiting.close();
    await sockets.close();
    http.closeIdleConnections();
    const cut = setTimeout(() => http.closeAllConnections(), GRACE_MS);
    await closed;
    clearTimeout(cut);
  };
  return { http, close };
}

/** Milliseconds that requests in flight may take to finish while the server stops. */
const GRACE_MS = 5000;
