import type { IncomingMessage } from "node:http";
import { CloseCode, type Server as GraphQLWsServer } from "graphql-ws";
import type { Logger } from "pino";
import type { WebSocket } from "ws";
import type { Principal } from "../../identity/principal.ts";
import { excessOf, type JsonLimits } from "../json-text.ts";
import { pace } from "./pace.ts";

/** What graphql-ws keeps with each connection. */
export interface SocketExtra extends Record<PropertyKey, unknown> {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
  /** Who connected; set when the connection is acknowledged. */
  principal?: Principal;
  /** Whether the connection was acknowledged, so that operations may begin. */
  hasConnected?: boolean;
}

/**
 * Bytes of a message that begins no operation, beyond which it is not parsed. Its payload is of no use here, or is kept for as long as
 * the connection is, and to parse megabytes of it takes as long as to parse an operation of that size.
 */
const MAX_CONTROL_BYTES = 64 * 1024;
const PONG = '{"type":"pong"}';
/** Bytes of the reason of a close, by the protocol of WebSockets. */
const MAX_REASON_BYTES = 123;

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
  extra: SocketExtra,
  limits: JsonLimits,
  log: Logger,
  onText: (text: string) => void,
): void {
  const { socket } = extra;
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
      // graphql-ws puts a client's id into a reason.
      close: (code, reason = "") => socket.close(code, Buffer.byteLength(reason) > MAX_REASON_BYTES ? "" : reason),
      // Without the payload, which may be megabytes: the protocol leaves it open.
      onPing: () => send(socket, PONG),
      onMessage: (handle) =>
        socket.on("message", (data) => {
          terminateIfUnread();
          const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
          if (bytes.length > MAX_CONTROL_BYTES && isPing(bytes)) {
            void send(socket, PONG);
            return;
          }
          if (bytes.length > MAX_CONTROL_BYTES && !(extra.hasConnected && bytes.includes('"subscribe"'))) {
            socket.close(CloseCode.BadRequest, "Only a subscribe message may be this long.");
            return;
          }
          const text = bytes.toString();
          if (excessOf(text, limits)) {
            socket.close(
              CloseCode.BadRequest,
              "The message has too many values or levels, or a document that is too long.",
            );
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
    extra,
  );
  socket.once("close", (code, reason) => {
    clearInterval(keepAlive);
    void closed(code, String(reason));
  });
}

/** Whether a message is a ping, as JSON.stringify writes one: by its beginning, without parsing what may be megabytes. */
function isPing(bytes: Buffer): boolean {
  return /^\s*\{\s*"type"\s*:\s*"ping"/.test(bytes.toString("latin1", 0, 64));
}

/** Resolves when the message has gone, or cannot go any more: that a client has left is no error here, and "close" tells it. */
function send(socket: WebSocket, data: string): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState !== socket.OPEN) resolve();
    else socket.send(data, () => resolve());
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
