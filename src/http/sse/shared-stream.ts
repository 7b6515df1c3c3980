import type { ExecutionResult } from "graphql";
import { toText } from "../error-format.ts";
import { EventStream, hasMaskedError, type OperationResults, type StreamPart } from "./event-stream.ts";

/** A part that waits until the stream has room for it. */
interface PendingPart extends StreamPart {
  /** The id of its operation. */
  readonly id: string;
  /** Called when the part is taken into the stream, or dropped because its operation was stopped. */
  readonly onTaken: () => void;
}

/**
 * A stream with the results of several operations (the graphql-sse protocol's single connection mode). Each operation
 * produces its next result only after the stream has taken the one before, so each has at most one result in memory.
 */
export class SharedStream extends EventStream {
  /** By the ids that the client chose; undefined for an operation that is registered and has no results yet. */
  readonly #operations = new Map<string, OperationResults | undefined>();
  #pendingParts: PendingPart[] = [];
  /** Ends the wait for a part. */
  #wake: (() => void) | undefined;
  #isEnding = false;
  #hasClientLeft = false;
  /** Whether a client has opened the stream to read it. */
  isOpen = false;
  /** The name of the principal whose stream it is. */
  readonly owner: string;

  /** @param keepAliveMs milliseconds between two comments that show a silent stream to be alive. */
  constructor(keepAliveMs: number, owner: string) {
    super(keepAliveMs);
    this.owner = owner;
  }

  /** Whether the client has gone, or did not come in time: the stream is over. */
  get hasClientLeft(): boolean {
    return this.#hasClientLeft;
  }

  /** The number of operations that have not ended. */
  get size(): number {
    return this.#operations.size;
  }

  /**
   * Registers an operation before it runs.
   * @returns false if the stream has an operation with this id already.
   */
  register(id: string): boolean {
    if (this.#operations.has(id)) return false;
    this.#operations.set(id, undefined);
    return true;
  }

  /** Starts to forward the results of a registered operation; ends them at once if it was stopped meanwhile. */
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

  /** Ends an operation and drops its pending parts. Does nothing if there is no such operation. */
  stop(id: string): void {
    const operation = this.#operations.get(id);
    this.#operations.delete(id);
    for (const part of this.#pendingParts) if (part.id === id) part.onTaken();
    this.#pendingParts = this.#pendingParts.filter((part) => part.id !== id);
    void operation?.results.return?.();
  }

  /** Ends the stream, because the server stops or who reads it has ended, once all operations have ended and their results are sent. */
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
    const { results, resumeState } = operation;
    for (let isOver = false; !isOver; ) {
      const result = await results.next();
      if (this.#operations.get(id) !== operation) return;
      isOver = result.done === true || hasMaskedError(result.value);
      if (!result.done) await this.#enqueue(id, toNextText(id, result.value));
      // While the server stops, a subscription is interrupted and not complete: the client must resume it elsewhere.
      if (isOver && !resumeState.interrupted)
        await this.#enqueue(id, `event: complete\ndata: ${JSON.stringify({ id })}\n\n`);
    }
  }

  /** Resolves when the stream has taken the part, or dropped it. */
  #enqueue(id: string, text: string): Promise<void> {
    return new Promise((onTaken) => {
      this.#pendingParts.push({ id, text, isLast: false, onTaken });
      this.#wake?.();
    });
  }
}

function toNextText(id: string, result: ExecutionResult): string {
  return `event: next\ndata: {"id":${JSON.stringify(id)},"payload":${toText(result)}}\n\n`;
}
