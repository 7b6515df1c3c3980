import type { IncomingMessage } from "node:http";
import { CloseCode, type Server as GraphQLWsServer } from "graphql-ws";
import type { Logger } from "pino";
import type { WebSocket } from "ws";
import { excessOf, type JsonLimits } from "../json-text.ts";
import { pace } from "./pace.ts";

/** What graphql-ws keeps with each connection. */
export interface SocketExtra extends Record<PropertyKey, unknown> {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
}

/** Milliseconds between two pings; a client that does not answer until the next one is gone. */
const KEEP_ALIVE_MS = 12_000;
/** Bytes that may wait for a client to read them, beside the one message that each of its operations may have under way. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/**
 * Connects a WebSocket with graphql-ws, in place of its own adapter, which parses whatever comes, answers as many pings as are
 * sent whether the answers are read or not, and writes errors to stderr.
 * @param limits of the JSON of one message.
 * @param onText called with each message before graphql-ws handles it.
 */
export function serveSocket(
  server: GraphQLWsServer<SocketExtra>,
  { socket, request }: SocketExtra,
  limits: JsonLimits,
  log: Logger,
  onText: (text: string) => void,
): void {
  // An invalid frame, or a connection that broke: the other side's doing.
  socket.on("error", (error) => log.debug({ message: error.message }, "a WebSocket ended with an error"));
  const terminateIfUnread = () => {
    if (socket.bufferedAmount <= MAX_WAITING_BYTES) return;
    log.info("a WebSocket was closed: its client does not read");
    socket.terminate();
  };
  pace(socket);
  socket.on("ping", terminateIfUnread);
  const keepAlive = keepAliveOf(socket, terminateIfUnread);
  const closed = server.opened(
    {
      protocol: socket.protocol,
      send: (data) => send(socket, data),
      close: (code, reason) => socket.close(code, reason),
      // Without the payload, which may be megabytes: the protocol leaves it open.
      onPing: () => send(socket, '{"type":"pong"}'),
      onMessage: (handle) =>
        socket.on("message", (data) => {
          terminateIfUnread();
          const text = Buffer.isBuffer(data) ? data.toString() : "";
          if (excessOf(text, limits)) {
            socket.close(CloseCode.BadRequest, "The message has too many values or levels.");
            return;
          }
          onText(text);
          handle(text).catch((error: unknown) => {
            log.error(
              { message: error instanceof Error ? error.message : undefined },
              "a message could not be handled",
            );
            socket.close(CloseCode.InternalServerError, "Something went wrong in the server.");
          });
        }),
    },
    { socket, request },
  );
  socket.once("close", (code, reason) => {
    clearInterval(keepAlive);
    void closed(code, String(reason));
  });
}

function send(socket: WebSocket, data: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (socket.readyState !== socket.OPEN) resolve();
    else socket.send(data, (error) => (error ? reject(error) : resolve()));
  });
}

function keepAliveOf(socket: WebSocket, check: () => void): NodeJS.Timeout {
  let isAnswered = true;
  socket.on("pong", () => {
    isAnswered = true;
  });
  return setInterval(() => {
    check();
    if (socket.readyState !== socket.OPEN) return;
    if (!isAnswered) socket.terminate();
    isAnswered = false;
    socket.ping();
  }, KEEP_ALIVE_MS);
}
