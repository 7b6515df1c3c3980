import type { ExecutionResult } from "graphql";
import { isAsyncIterable } from "graphql-yoga";
import type { Delivery } from "../../graphql/context.ts";
import { isMasked, toText } from "../error-format.ts";

/** An operation's results, and where they leave its client. */
export interface OperationResults {
  readonly results: AsyncIterator<ExecutionResult>;
  readonly delivery: Delivery;
}

export function toResultIterator(
  result: ExecutionResult | AsyncIterable<ExecutionResult>,
): AsyncIterator<ExecutionResult> {
  return isAsyncIterable(result) ? result[Symbol.asyncIterator]() : singleResult(result);
}

async function* singleResult(result: ExecutionResult): AsyncGenerator<ExecutionResult> {
  yield result;
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

/** What goes into a stream next. */
export interface StreamPart {
  readonly text: string;
  readonly isLast: boolean;
}

/** Milliseconds after which a browser connects again by itself: spread, so that a server's clients do not come at once. */
const RETRY_MS = { min: 500, spread: 1000 };

/**
 * A response of server-sent events. A part is asked for when there is room for it, so that a client which does not read
 * costs a buffer and no more.
 */
export abstract class EventStream implements UnderlyingDefaultSource<Uint8Array> {
  readonly #keepAliveMs: number;
  #keepAliveTimer: NodeJS.Timeout | undefined;
  #isPullPending = false;

  /** @param keepAliveMs milliseconds from one sign of life to the next. */
  constructor(keepAliveMs: number) {
    this.#keepAliveMs = keepAliveMs;
  }

  /** The next part; it never rejects. */
  protected abstract next(): Promise<StreamPart>;

  /** The client has gone: nothing of what the stream holds stays behind. */
  protected abstract release(): Promise<unknown>;

  start(controller: Controller): void {
    // Some browsers hold a response back until its first bytes have come.
    write(controller, `:\nretry: ${RETRY_MS.min + Math.floor(Math.random() * RETRY_MS.spread)}\n\n`);
    this.#keepAliveTimer = setInterval(() => {
      // Not to a client that has not even read what there was.
      if (this.#isPullPending) write(controller, ":\n\n");
    }, this.#keepAliveMs);
  }

  async pull(controller: Controller): Promise<void> {
    this.#isPullPending = true;
    const { text, isLast } = await this.next();
    this.#isPullPending = false;
    if (text !== "") write(controller, text);
    if (!isLast) return;
    clearInterval(this.#keepAliveTimer);
    controller.close();
  }

  async cancel(): Promise<void> {
    clearInterval(this.#keepAliveTimer);
    await this.release();
  }
}

function write(controller: Controller, text: string): void {
  controller.enqueue(Buffer.from(text));
}

/**
 * The results of one operation (the graphql-sse protocol's distinct connections mode). Each event that a client may go
 * on from has its cursor as its id: a browser's own EventSource sends it back when it connects again.
 */
export class OperationStream extends EventStream {
  readonly #operation: OperationResults;

  constructor(operation: OperationResults, keepAliveMs: number) {
    super(keepAliveMs);
    this.#operation = operation;
  }

  protected async next(): Promise<StreamPart> {
    const { results, delivery } = this.#operation;
    try {
      const result = await results.next();
      if (result.done) return { text: toEndText(delivery), isLast: true };
      const value: ExecutionResult = result.value;
      // A change that could not be told is not passed over: the stream breaks off before it.
      const isUndeliverable = delivery.cursor !== undefined && hasMaskedError(value);
      if (isUndeliverable) await this.release();
      const id = isUndeliverable ? "" : toIdLine(value, delivery);
      return { text: `${id}event: next\ndata: ${toText(value)}\n\n`, isLast: isUndeliverable };
    } catch {
      // Without the protocol's own end: the client connects again, and goes on from its last id.
      return { text: "", isLast: true };
    }
  }

  protected async release(): Promise<void> {
    await this.#operation.results.return?.();
  }
}

/** Whether something unexpected went wrong, so that the same may go well the next time. */
export function hasMaskedError({ errors }: ExecutionResult): boolean {
  return errors?.some(isMasked) ?? false;
}

/**
 * The place after this result. Where the client went on by itself, from a place that is of no use, it is told to forget
 * it: it hears of that once, and begins again with a snapshot.
 */
function toIdLine({ data, errors }: ExecutionResult, { cursor, resumeAfter }: Delivery): string {
  const isCursorRefused =
    resumeAfter !== undefined && !data && errors?.some(({ extensions: { code } }) => isCursorError(code));
  if (isCursorRefused) return "id\n";
  return cursor === undefined ? "" : `id: ${cursor}\n`;
}

function isCursorError(code: unknown): boolean {
  return code === "CURSOR_EXPIRED" || code === "INVALID_INPUT";
}

/** Where it is not over, no event says so; the id alone is what a browser keeps for when it connects again. */
function toEndText({ interrupted, cursor }: Delivery): string {
  if (!interrupted) return "event: complete\ndata:\n\n";
  return cursor === undefined ? "" : `id: ${cursor}\n\n`;
}
