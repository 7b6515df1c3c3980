import { type TypedDocument, textOf } from "../api/document.ts";
import { JobServerError } from "../api/errors.ts";
import type { Subscribe } from "../api/follow.ts";
import { randomId } from "../api/random-id.ts";
import { type Answer, type Connection, dataOf } from "../api/request.ts";
import { trust } from "../api/trust.ts";
import { ReservedStream } from "./reserved-stream.ts";

/**
 * Many subscriptions over one connection: a browser opens at most six to a server, which a page with seven live jobs would have used up. All
 * its requests must reach the same server.
 */
export class SharedStream {
  readonly #connection: Connection;
  #stream: Promise<ReservedStream> | undefined;
  #isClosed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Runs a subscription once, until it completes.
   * @throws UnansweredError where it breaks off; JobServerError where it is refused; the reason of `signal`, once it is aborted.
   */
  readonly subscribe: Subscribe = (_connection, operation, variables, signal, onOpen) =>
    this.#run(operation, variables, signal, onOpen);

  /** Ends the connection; subscriptions that are under way end with an error. */
  close(): void {
    this.#isClosed = true;
    void this.#stream?.then((stream) => stream.end()).catch(() => undefined);
  }

  async *#run<Data, Variables>(
    operation: TypedDocument<Data, Variables>,
    variables: Variables,
    signal: AbortSignal,
    onOpen?: () => void,
  ): AsyncGenerator<Data, void, undefined> {
    signal.throwIfAborted();
    if (this.#isClosed) throw new JobServerError("CLOSED", "The client was closed.");
    const stream = await this.#reserved();
    const id = randomId();
    const answers = stream.open(id);
    // A signal of its own: a caller's may be that of many subscriptions, and Node warns of its eleventh listener.
    const own = AbortSignal.any([signal]);
    const onAbort = () => answers.fail(own.reason);
    own.addEventListener("abort", onAbort, { once: true });
    try {
      own.throwIfAborted();
      await stream.start(id, textOf(operation), variables);
      onOpen?.();
      for await (const answer of answers) yield dataOf(trust<Answer<Data>>(answer));
    } finally {
      own.removeEventListener("abort", onAbort);
      stream.close(id);
    }
  }

  #reserved(): Promise<ReservedStream> {
    this.#stream ??= this.#reserve();
    return this.#stream;
  }

  async #reserve(): Promise<ReservedStream> {
    const stream = new ReservedStream(this.#connection, () => {
      this.#stream = undefined;
    });
    try {
      await stream.listen();
      return stream;
    } catch (error) {
      stream.end();
      throw error;
    }
  }
}
