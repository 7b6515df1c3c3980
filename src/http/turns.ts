import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

interface Waiting {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Requests of a connection that may wait for their turn before it is read no further. */
const MAX_WAITING = 8;

/**
 * Lets the requests of one connection run one after the other. HTTP/1.1 answers them in their order anyway, so a client that sends
 * many before it reads an answer (pipelining) gets them no later; but it cannot have hundreds running at once, which would keep
 * everybody else waiting for all of them. Between two of them, the other connections have their turn.
 *
 * There is no rate beyond that: a worker that sends its next report when it has the answer to the last is as fast as the server
 * is, on as many connections as it has, and still delays another client by no more than one request of each of them.
 */
export function inTurn(listener: Listener): Listener {
  /** By connection, what waits behind the request that runs; none where nothing runs. */
  const queues = new WeakMap<Socket, Waiting[]>();
  const run = (socket: Socket, { request, response }: Waiting) => {
    response.once("close", () => {
      const queue = queues.get(socket) ?? [];
      if (queue.length === 0 || socket.destroyed) queues.delete(socket);
      else setImmediate(next, socket, queue);
    });
    listener(request, response);
  };
  const next = (socket: Socket, queue: Waiting[]) => {
    const first = queue.shift();
    if (queue.length === 0) socket.resume();
    if (!first || socket.destroyed) queues.delete(socket);
    else run(socket, first);
  };
  return (request, response) => {
    const { socket } = request;
    const queue = queues.get(socket);
    if (!queue) {
      queues.set(socket, []);
      run(socket, { request, response });
      return;
    }
    queue.push({ request, response });
    if (queue.length >= MAX_WAITING) socket.pause();
  };
}
