import { type Message, MessageType, parseMessage } from "graphql-ws";

/** Made once: a new one for each operation would be a stack trace for each, of which a client may ask for hundreds a second. */
const STOPPED = new DOMException("The client has stopped the operation, or has gone.", "AbortError");

interface Operation {
  /** The id that the client chose. */
  readonly id: string;
  readonly controller: AbortController;
  /** Characters of the message that began it, which is kept for as long as it runs. */
  readonly length: number;
}

/**
 * The running operations of one WebSocket, each with a signal that is aborted when the client stops it or disconnects.
 * graphql-ws then ends subscriptions only; without the signal, a mutation that waits, such as a claim, would go on and
 * take jobs for a client that has gone.
 */
export class SocketOperations {
  /** By the payload object of the operation, not by its id: a client may reuse an id before the first use has ended. */
  readonly #running = new Map<object, Operation>();
  /** Characters of the message that is being handled, and of those of all running operations. */
  #messageLength = 0;
  #length = 0;

  /** The number of running operations. */
  get size(): number {
    return this.#running.size;
  }

  /** The characters of the messages that began them. */
  get length(): number {
    return this.#length;
  }

  /**
   * Adds an operation.
   * @returns a signal that is aborted when the client stops the operation or disconnects.
   */
  begin(id: string, payload: object): AbortSignal {
    const controller = new AbortController();
    this.#running.set(payload, { id, controller, length: this.#messageLength });
    this.#length += this.#messageLength;
    return controller.signal;
  }

  /** Removes an operation that was answered or refused. */
  end(payload: object): void {
    this.#length -= this.#running.get(payload)?.length ?? 0;
    this.#running.delete(payload);
  }

  /**
   * Looks at a raw message of the client, and aborts the operation that a `complete` message stops. Everything else is
   * ignored, malformed messages too: graphql-ws handles it.
   */
  handleMessage(text: string): void {
    this.#messageLength = text.length;
    // A message may be megabytes: without this check, each would be parsed twice.
    if (!text.includes('"complete"')) return;
    const message = tryParse(text);
    if (message?.type === MessageType.Complete) this.#abort(({ id }) => id === message.id);
  }

  /** Aborts every operation, because the client has disconnected. */
  abortAll(): void {
    this.#abort(() => true);
  }

  #abort(isStopped: (operation: Operation) => boolean): void {
    for (const [payload, operation] of this.#running) {
      if (!isStopped(operation)) continue;
      this.end(payload);
      operation.controller.abort(STOPPED);
    }
  }
}

function tryParse(text: string): Message | undefined {
  try {
    return parseMessage(text);
  } catch {
    return undefined;
  }
}
