import type { ExecutionResult } from "graphql";
import { isAsyncIterable } from "graphql-yoga";
import type { ResumeState } from "../../graphql/context.ts";
import { isMasked, toText } from "../error-format.ts";

/** The results of one operation, and where its client can resume it. */
export interface OperationResults {
  readonly results: AsyncIterator<ExecutionResult>;
  readonly resumeState: ResumeState;
}

/** Returns an iterator over the results of an operation: many for a subscription, otherwise a single one. */
export function toResultIterator(
  result: ExecutionResult | AsyncIterable<ExecutionResult>,
): AsyncIterator<ExecutionResult> {
  return isAsyncIterable(result) ? result[Symbol.asyncIterator]() : singleResult(result);
}

async function* singleResult(result: ExecutionResult): AsyncGenerator<ExecutionResult> {
  yield result;
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

/** A piece of text for the stream; may be empty. */
export interface StreamPart {
  readonly text: string;
  /** Whether the stream is closed after this part. */
  readonly isLast: boolean;
}

/**
 * Milliseconds after which a browser reconnects by itself: random, so that a server's clients do not all return at
 * once.
 */
const RETRY_MS = { min: 500, spread: 1000 };

/**
 * A response of server-sent events, as the source of a ReadableStream. The next part is produced only when the stream
 * has room for it, so that a client that does not read costs one buffer and no more.
 */
export abstract class EventStream implements UnderlyingDefaultSource<Uint8Array> {
  readonly #keepAliveMs: number;
  #keepAliveTimer: NodeJS.Timeout | undefined;
  #isPullPending = false;

  /** @param keepAliveMs milliseconds between two comments that show a silent stream to be alive. */
  constructor(keepAliveMs: number) {
    this.#keepAliveMs = keepAliveMs;
  }

  /** Waits for the next part; must not reject. */
  protected abstract next(): Promise<StreamPart>;

  /** Ends the operations behind the stream, because the client has gone. */
  protected abstract release(): Promise<unknown>;

  start(controller: Controller): void {
    // Some browsers report a response as open only after its first bytes.
    write(controller, `:\nretry: ${RETRY_MS.min + Math.floor(Math.random() * RETRY_MS.spread)}\n\n`);
    this.#keepAliveTimer = setInterval(() => {
      // Only while a part is awaited: for a client that does not read, keep-alives would pile up in the buffer.
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
 * A stream with the results of one operation (the graphql-sse protocol's distinct connections mode). The id of an event
 * is its cursor, if the client can resume from there: a browser's EventSource sends it back when it reconnects.
 */
export class OperationStream extends EventStream {
  readonly #operation: OperationResults;

  constructor(operation: OperationResults, keepAliveMs: number) {
    super(keepAliveMs);
    this.#operation = operation;
  }

  protected async next(): Promise<StreamPart> {
    const { results, resumeState } = this.#operation;
    try {
      const result = await results.next();
      if (result.done) return { text: toEndText(resumeState), isLast: true };
      const value: ExecutionResult = result.value;
      // An event that could not be resolved must not be skipped. The stream breaks off without its id, so that the
      // client reconnects and gets this event again.
      const isUndeliverable = resumeState.cursor !== undefined && hasMaskedError(value);
      if (isUndeliverable) await this.release();
      const id = isUndeliverable ? "" : toIdLine(value, resumeState);
      return { text: `${id}event: next\ndata: ${toText(value)}\n\n`, isLast: isUndeliverable };
    } catch {
      // No `complete` event: the client must reconnect and resume from its last id.
      return { text: "", isLast: true };
    }
  }

  protected async release(): Promise<void> {
    await this.#operation.results.return?.();
  }
}

/** Whether the result has an unexpected error, one that was masked: the same operation may succeed the next time. */
export function hasMaskedError({ errors }: ExecutionResult): boolean {
  return errors?.some(isMasked) ?? false;
}

/**
 * The `id` line of this result: its cursor. If the server refused the cursor that a browser sent by itself
 * (`Last-Event-ID`), the line is an empty `id`, which makes the browser forget the cursor. It then sees this error once
 * and begins again with snapshots; otherwise it would reconnect with the same cursor forever.
 */
function toIdLine({ data, errors }: ExecutionResult, { cursor, resumeAfter }: ResumeState): string {
  const isCursorRefused =
    resumeAfter !== undefined && !data && errors?.some(({ extensions: { code } }) => isCursorError(code));
  if (isCursorRefused) return "id\n";
  return cursor === undefined ? "" : `id: ${cursor}\n`;
}

function isCursorError(code: unknown): boolean {
  return code === "CURSOR_EXPIRED" || code === "INVALID_INPUT";
}

/**
 * The text at the end of the results: a `complete` event, unless the server stops. Then there is only an id, which a
 * browser keeps and resumes from.
 */
function toEndText({ interrupted, cursor }: ResumeState): string {
  if (!interrupted) return "event: complete\ndata:\n\n";
  return cursor === undefined ? "" : `id: ${cursor}\n\n`;
}
