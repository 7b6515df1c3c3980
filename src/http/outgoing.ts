import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Logger } from "pino";

/** Milliseconds between two looks at what waits: a server makes no more than some hundred megabytes in the time. */
const CHECK_MS = 250;

/**
 * Bounds what waits in this process for the clients of all connections together, WebSockets and streams included. Each may have an
 * answer of megabytes under way, so that some hundred which do not read would fill the memory long before their time is up. Those
 * with the most are closed first.
 */
export function boundOutgoing(http: Server, maxBytes: number, log: Logger): void {
  const connections = new Set<Socket>();
  http.on("connection", (socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
  });
  const check = () => {
    let bytes = 0;
    for (const { writableLength } of connections) bytes += writableLength;
    if (bytes <= maxBytes) return;
    // To half of it: the next answers would be too much again at once.
    for (const socket of [...connections].toSorted((one, other) => other.writableLength - one.writableLength)) {
      if (bytes <= maxBytes / 2) break;
      bytes -= socket.writableLength;
      log.info({ bytes: socket.writableLength }, "a connection was closed: too much waits for its client to read it");
      socket.destroy();
    }
  };
  const timer = setInterval(check, CHECK_MS).unref();
  http.once("close", () => clearInterval(timer));
}
