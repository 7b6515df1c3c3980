import { type TypedDocument, textOf } from "../api/document.ts";
import { JobServerError, UnansweredError } from "../api/errors.ts";
import { eventsOf } from "../api/event-stream.ts";
import type { Subscribe } from "../api/follow.ts";
import { type Answer, type Connection, dataOf, headersOf, refusalOf } from "../api/request.ts";
import { trust } from "../api/trust.ts";
import { Queue } from "./queue.ts";

/** A silent stream shows a sign of life every 12 seconds; one that shows none for so long, in milliseconds, is dead. */
const SILENCE_MS = 30_000;
/** How long a stream without subscriptions is kept for the next one, in milliseconds. */
const IDLE_MS = 2_000;
const TOKEN_HEADER = "x-graphql-event-stream-token";

/**
 * Many subscriptions over one connection (the single connection mode of graphql-sse): a browser opens at most six to a server, which a page with
 * seven live jobs would have used up. All its requests must reach the same server.
 */
export class SharedStream {
  readonly #connection: Connection;
  #link: Promise<Link> | undefined;
  #isClosed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Runs a subscription once, until it completes.
   * @throws UnansweredError where it breaks off; JobServerError where it is refused; the reason of `signal`, once it is aborted.
   */
  readonly subscribe: Subscribe = (_connection, operation, variables, signal) =>
    this.#run(operation, variables, signal);

  /** Ends the connection; subscriptions that are under way break off. */
  close(): void {
    this.#isClosed = true;
    void this.#link?.then((link) => link.end()).catch(() => undefined);
  }

  async *#run<Data, Variables>(
    operation: TypedDocument<Data, Variables>,
    variables: Variables,
    signal: AbortSignal,
  ): AsyncGenerator<Data, void, undefined> {
    signal.throwIfAborted();
    if (this.#isClosed) throw new JobServerError("CLOSED", "The client was closed.");
    const link = await this.#linked();
    const id = crypto.randomUUID();
    const answers = link.open(id);
    // A signal of its own: a caller's may be that of many subscriptions, and Node warns of its eleventh listener.
    const own = AbortSignal.any([signal]);
    const onAbort = () => answers.fail(own.reason);
    own.addEventListener("abort", onAbort, { once: true });
    try {
      own.throwIfAborted();
      await link.start(id, textOf(operation), variables);
      for await (const answer of answers) {
        yield dataOf(trust<Answer<Data>>(answer));
      }
    } finally {
      own.removeEventListener("abort", onAbort);
      link.close(id);
    }
  }

  #linked(): Promise<Link> {
    this.#link ??= this.#reserve().catch((error: unknown) => {
      this.#link = undefined;
      throw error;
    });
    return this.#link;
  }

  async #reserve(): Promise<Link> {
    const headers = headersOf(this.#connection);
    const reserved = await fetch(this.#connection.url, { method: "PUT", headers }).catch(unanswered);
    if (!reserved.ok) throw await refusalIn(reserved);
    const token = (await reserved.text()).trim();
    const link = new Link(this.#connection, token, () => {
      this.#link = undefined;
    });
    await link.listen();
    return link;
  }
}

/** What comes over the stream, for one of its subscriptions. */
interface Message {
  readonly id: string;
  readonly payload: Answer<unknown>;
}

/** One reserved stream, and the subscriptions on it. */
class Link {
  readonly #connection: Connection;
  readonly #token: string;
  readonly #onEnd: () => void;
  readonly #queues = new Map<string, Queue<Answer<unknown>>>();
  readonly #stop = new AbortController();
  #silence: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(connection: Connection, token: string, onEnd: () => void) {
    this.#connection = connection;
    this.#token = token;
    this.#onEnd = onEnd;
  }

  async listen(): Promise<void> {
    this.#heard();
    const headers = { ...this.#headers(), accept: "text/event-stream" };
    const response = await fetch(this.#connection.url, { headers, signal: AbortSignal.any([this.#stop.signal]) }).catch(
      unanswered,
    );
    if (!response.ok || !response.body) throw await refusalIn(response);
    void this.#read(response.body);
  }

  open(id: string): Queue<Answer<unknown>> {
    clearTimeout(this.#idle);
    const queue = new Queue<Answer<unknown>>();
    this.#queues.set(id, queue);
    return queue;
  }

  async start(id: string, query: string, variables: unknown): Promise<void> {
    const response = await fetch(this.#connection.url, {
      method: "POST",
      headers: { ...this.#headers(), "content-type": "application/json" },
      body: JSON.stringify({ query, variables, extensions: { operationId: id } }),
      signal: AbortSignal.any([this.#stop.signal]),
    }).catch(unanswered);
    if (!response.ok) throw await refusalIn(response);
    await response.body?.cancel();
  }

  close(id: string): void {
    const isOpen = this.#queues.delete(id);
    if (this.#queues.size === 0) this.#idle = setTimeout(() => this.end(), IDLE_MS);
    if (!isOpen || this.#stop.signal.aborted) return;
    const url = new URL(this.#connection.url, globalThis.location?.href);
    url.searchParams.set("operationId", id);
    void fetch(url, { method: "DELETE", headers: this.#headers() }).catch(() => undefined);
  }

  /** Breaks off every subscription; each goes on over another link. */
  end(): void {
    if (this.#stop.signal.aborted) return;
    clearTimeout(this.#silence);
    clearTimeout(this.#idle);
    this.#onEnd();
    this.#stop.abort();
    for (const queue of this.#queues.values()) queue.fail(new UnansweredError("The stream broke off."));
    this.#queues.clear();
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const { event, data } of eventsOf(body, () => this.#heard())) {
        if (data === "") continue;
        const { id, payload } = trust<Message>(JSON.parse(data));
        if (event === "next") this.#queues.get(id)?.push(payload);
        if (event !== "complete") continue;
        this.#queues.get(id)?.end();
        this.#queues.delete(id);
      }
    } catch {
      // The same as an end: whoever listens goes on over another link.
    }
    this.end();
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.end(), SILENCE_MS);
  }

  #headers(): Record<string, string> {
    return { ...headersOf(this.#connection), [TOKEN_HEADER]: this.#token };
  }
}

function unanswered(cause: unknown): never {
  throw new UnansweredError("The server did not answer.", { cause });
}

async function refusalIn(response: Response): Promise<Error> {
  const answer: unknown = await response.json().catch(() => null);
  const errors = typeof answer === "object" && answer !== null && "errors" in answer ? answer.errors : null;
  const error = Array.isArray(errors) ? refusalOf(errors, response) : null;
  if (error instanceof JobServerError && response.status !== 404) return error;
  // A stream that this server does not know: another one reserved it, or it has ended.
  return new UnansweredError(`HTTP ${response.status}`, { cause: error });
}
