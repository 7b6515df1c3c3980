import { type Message, MessageType, parseMessage } from "graphql-ws";
import type { RawData } from "ws";

interface Operation {
  readonly id: string;
  readonly controller: AbortController;
}

/**
 * What one WebSocket's client has asked for and has not been told the end of. Each hears when its client says that it
 * wants no more of it, or goes: the protocol's library tells a stream so, but nobody who waits to answer once.
 */
export class SocketOperations {
  /** By what was asked: a client may use an id again before what had it has ended. */
  readonly #running = new Map<object, Operation>();

  get size(): number {
    return this.#running.size;
  }

  /** @returns aborts when its client does not wait for it any more. */
  begin(id: string, payload: object): AbortSignal {
    const left = new AbortController();
    this.#running.set(payload, { id, controller: left });
    return left.signal;
  }

  /** It was answered, or refused. */
  end(payload: object): void {
    this.#running.delete(payload);
  }

  /** The client's word that it wants no more of an operation. What is no message of the protocol is others' to refuse. */
  handleMessage(data: RawData): void {
    // Documents may be megabytes, and are not read twice to find out that they are none of this.
    if (!Buffer.isBuffer(data) || !data.includes('"complete"')) return;
    const message = tryParse(data.toString());
    if (message?.type === MessageType.Complete) this.#abort(({ id }) => id === message.id);
  }

  /** The client has gone. */
  abortAll(): void {
    this.#abort(() => true);
  }

  #abort(isAborted: (operation: Operation) => boolean): void {
    for (const [payload, operation] of this.#running) {
      if (!isAborted(operation)) continue;
      this.#running.delete(payload);
      operation.controller.abort();
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
