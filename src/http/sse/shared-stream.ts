import type { ExecutionResult } from "graphql";
import { toText } from "../error-format.ts";
import { EventStream, hasMaskedError, type OperationResults, type StreamPart } from "./event-stream.ts";

interface PendingPart extends StreamPart {
  readonly id: string;
  readonly onTaken: () => void;
}

/**
 * The results of several operations over one response (the graphql-sse protocol's single connection mode). Each
 * operation is asked for its next result when its last one has gone, so each has one in memory at most.
 */
export class SharedStream extends EventStream {
  /** By the client's ids; undefined where one has been announced and has no results yet. */
  readonly #operations = new Map<string, OperationResults | undefined>();
  #pendingParts: PendingPart[] = [];
  #wake: (() => void) | undefined;
  #isEnding = false;
  #hasClientLeft = false;
  /** Whether its client reads it. */
  isOpen = false;

  /** Whether its client has gone, or never came: nothing can be said over it any more. */
  get hasClientLeft(): boolean {
    return this.#hasClientLeft;
  }

  /** How many operations it carries. */
  get size(): number {
    return this.#operations.size;
  }

  /** False where there is an operation of this id. */
  register(id: string): boolean {
    if (this.#operations.has(id)) return false;
    this.#operations.set(id, undefined);
    return true;
  }

  /** The announced operation's results. They are not wanted where it has been stopped meanwhile. */
  attach(id: string, operation: OperationResults): void {
    if (!this.#operations.has(id)) {
      void operation.results.return?.();
      return;
    }
    this.#operations.set(id, operation);
    this.#forward(id, operation)
      .catch(() => undefined)
      .finally(() => {
        if (this.#operations.get(id) === operation) this.stop(id);
        this.#wake?.();
      });
  }

  stop(id: string): void {
    const operation = this.#operations.get(id);
    this.#operations.delete(id);
    for (const part of this.#pendingParts) if (part.id === id) part.onTaken();
    this.#pendingParts = this.#pendingParts.filter((part) => part.id !== id);
    void operation?.results.return?.();
  }

  /** The server stops: what the operations still have to say is said, and then the stream is over. */
  end(): void {
    this.#isEnding = true;
    this.#wake?.();
  }

  protected async next(): Promise<StreamPart> {
    while (this.#pendingParts.length === 0) {
      if (this.#isEnding && this.#operations.size === 0) return { text: "", isLast: true };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const part = this.#pendingParts.shift();
    part?.onTaken();
    return part ?? { text: "", isLast: false };
  }

  protected async release(): Promise<void> {
    this.#hasClientLeft = true;
    for (const id of this.#operations.keys()) this.stop(id);
  }

  async #forward(id: string, operation: OperationResults): Promise<void> {
    const { results, delivery } = operation;
    for (let isOver = false; !isOver; ) {
      const result = await results.next();
      if (this.#operations.get(id) !== operation) return;
      isOver = result.done === true || hasMaskedError(result.value);
      if (!result.done) await this.#enqueue(id, toNextText(id, result.value));
      // Where it is not over, but the server stops, no event says that it is.
      if (isOver && !delivery.interrupted)
        await this.#enqueue(id, `event: complete\ndata: ${JSON.stringify({ id })}\n\n`);
    }
  }

  /** Settles when it has gone. */
  #enqueue(id: string, text: string): Promise<void> {
    return new Promise((taken) => {
      this.#pendingParts.push({ id, text, isLast: false, onTaken: taken });
      this.#wake?.();
    });
  }
}

function toNextText(id: string, result: ExecutionResult): string {
  return `event: next\ndata: {"id":${JSON.stringify(id)},"payload":${toText(result)}}\n\n`;
}
