import { type Message, MessageType, parseMessage } from "graphql-ws";
import type { RawData } from "ws";

interface Operation {
  readonly id: string;
  readonly left: AbortController;
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
  begin(id: string, asked: object): AbortSignal {
    const left = new AbortController();
    this.#running.set(asked, { id, left });
    return left.signal;
  }

  /** It was answered, or refused. */
  end(asked: object): void {
    this.#running.delete(asked);
  }

  /** The client's word that it wants no more of an operation. What is no message of the protocol is others' to refuse. */
  hear(data: RawData): void {
    // Documents may be megabytes, and are not read twice to find out that they are none of this.
    if (!Buffer.isBuffer(data) || !data.includes('"complete"')) return;
    const message = parsed(data.toString());
    if (message?.type === MessageType.Complete) this.#leave(({ id }) => id === message.id);
  }

  /** The client has gone. */
  leave(): void {
    this.#leave(() => true);
  }

  #leave(isLeft: (operation: Operation) => boolean): void {
    for (const [asked, operation] of this.#running) {
      if (!isLeft(operation)) continue;
      this.#running.delete(asked);
      operation.left.abort();
    }
  }
}

function parsed(text: string): Message | undefined {
  try {
    return parseMessage(text);
  } catch {
    return undefined;
  }
}
