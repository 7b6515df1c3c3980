import type { ExecutionResult } from "graphql";
import { toText } from "../error-format.ts";
import { EventStream, isFailure, type Part, type Results } from "./event-stream.ts";

interface Waiting extends Part {
  readonly id: string;
  readonly taken: () => void;
}

/**
 * The results of several operations over one response (the graphql-sse protocol's single connection mode). Each
 * operation is asked for its next result when its last one has gone, so each has one in memory at most.
 */
export class SharedStream extends EventStream {
  /** By the client's ids; undefined where one has been announced and has no results yet. */
  readonly #operations = new Map<string, Results | undefined>();
  #ready: Waiting[] = [];
  #arrived: (() => void) | undefined;
  #ending = false;
  #left = false;
  /** Whether its client reads it. */
  isOpen = false;

  /** Whether its client has gone, or never came: nothing can be said over it any more. */
  get hasLeft(): boolean {
    return this.#left;
  }

  /** How many operations it carries. */
  get size(): number {
    return this.#operations.size;
  }

  /** False where there is an operation of this id. */
  announce(id: string): boolean {
    if (this.#operations.has(id)) return false;
    this.#operations.set(id, undefined);
    return true;
  }

  /** The announced operation's results. They are not wanted where it has been stopped meanwhile. */
  add(id: string, of: Results): void {
    if (!this.#operations.has(id)) {
      void of.results.return?.();
      return;
    }
    this.#operations.set(id, of);
    this.#follow(id, of)
      .catch(() => undefined)
      .finally(() => {
        if (this.#operations.get(id) === of) this.stop(id);
        this.#arrived?.();
      });
  }

  stop(id: string): void {
    const operation = this.#operations.get(id);
    this.#operations.delete(id);
    for (const part of this.#ready) if (part.id === id) part.taken();
    this.#ready = this.#ready.filter((part) => part.id !== id);
    void operation?.results.return?.();
  }

  /** The server stops: what the operations still have to say is said, and then the stream is over. */
  end(): void {
    this.#ending = true;
    this.#arrived?.();
  }

  protected async next(): Promise<Part> {
    while (this.#ready.length === 0) {
      if (this.#ending && this.#operations.size === 0) return { text: "", isLast: true };
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    const part = this.#ready.shift();
    part?.taken();
    return part ?? { text: "", isLast: false };
  }

  protected async leave(): Promise<void> {
    this.#left = true;
    for (const id of this.#operations.keys()) this.stop(id);
  }

  async #follow(id: string, of: Results): Promise<void> {
    const { results, delivery } = of;
    for (let isOver = false; !isOver; ) {
      const result = await results.next();
      if (this.#operations.get(id) !== of) return;
      isOver = result.done === true || isFailure(result.value);
      if (!result.done) await this.#put(id, nextOf(id, result.value));
      // Where it is not over, but the server stops, no event says that it is.
      if (isOver && !delivery.interrupted) await this.#put(id, `event: complete\ndata: ${JSON.stringify({ id })}\n\n`);
    }
  }

  /** Settles when it has gone. */
  #put(id: string, text: string): Promise<void> {
    return new Promise((taken) => {
      this.#ready.push({ id, text, isLast: false, taken });
      this.#arrived?.();
    });
  }
}

function nextOf(id: string, result: ExecutionResult): string {
  return `event: next\ndata: {"id":${JSON.stringify(id)},"payload":${toText(result)}}\n\n`;
}
