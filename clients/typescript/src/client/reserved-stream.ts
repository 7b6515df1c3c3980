import { UnansweredError } from "../api/errors.ts";
import { eventsOf } from "../api/event-stream.ts";
import { type Answer, type Connection, headersOf, refusalIn } from "../api/request.ts";
import { Silence } from "../api/silence.ts";
import { trust } from "../api/trust.ts";
import { Queue } from "./queue.ts";

/** How long a stream without subscriptions is kept for the next one, in milliseconds. */
const IDLE_MS = 2_000;
const TOKEN_HEADER = "x-graphql-event-stream-token";

/** What comes over the stream, for one of its subscriptions. */
interface Message {
  readonly id: string;
  readonly payload: Answer<unknown>;
}

/** One stream that a server has reserved (the single connection mode of graphql-sse), and the subscriptions on it. */
export class ReservedStream {
  readonly #connection: Connection;
  readonly #onEnd: () => void;
  readonly #queues = new Map<string, Queue<Answer<unknown>>>();
  readonly #stop = new AbortController();
  readonly #silence = new Silence();
  #token = "";
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** @param onEnd told once, when nothing more comes over it. */
  constructor(connection: Connection, onEnd: () => void) {
    this.#connection = connection;
    this.#onEnd = onEnd;
    this.#silence.signal.addEventListener("abort", () => this.end());
  }

  /**
   * Reserves the stream, and listens to it.
   * @throws UnansweredError or JobServerError where there is none.
   */
  async listen(): Promise<void> {
    const reserved = await this.#fetch({ method: "PUT" });
    this.#token = (await reserved.text()).trim();
    const { body } = await this.#fetch({ headers: { accept: "text/event-stream" } });
    if (body) void this.#read(body);
  }

  /** @returns what will come for a subscription, under an id of its own. */
  open(id: string): Queue<Answer<unknown>> {
    clearTimeout(this.#idle);
    const queue = new Queue<Answer<unknown>>();
    this.#queues.set(id, queue);
    return queue;
  }

  /** Begins a subscription that was opened. */
  async start(id: string, query: string, variables: unknown): Promise<void> {
    const body = JSON.stringify({ query, variables, extensions: { operationId: id } });
    const response = await this.#fetch({ method: "POST", headers: { "content-type": "application/json" }, body });
    // To its end, and not broken off: the connection serves the next request.
    await response.arrayBuffer().catch(() => undefined);
  }

  /** Ends a subscription. */
  close(id: string): void {
    const isOpen = this.#queues.delete(id);
    if (this.#queues.size === 0) this.#idle = setTimeout(() => this.end(), IDLE_MS);
    if (!isOpen || this.#stop.signal.aborted) return;
    const url = new URL(this.#connection.url, globalThis.location?.href);
    url.searchParams.set("operationId", id);
    void fetch(url, { method: "DELETE", headers: this.#headers(), redirect: "manual" }).catch(() => undefined);
  }

  /** Breaks off every subscription. */
  end(): void {
    if (this.#stop.signal.aborted) return;
    this.#silence.end();
    clearTimeout(this.#idle);
    this.#onEnd();
    this.#stop.abort();
    for (const queue of this.#queues.values()) queue.fail(new UnansweredError("The stream broke off."));
    this.#queues.clear();
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const { event, data } of eventsOf(body, this.#silence)) {
        if (data === "") continue;
        const { id, payload } = trust<Message>(JSON.parse(data));
        if (event === "next") this.#queues.get(id)?.push(payload);
        if (event !== "complete") continue;
        this.#queues.get(id)?.end();
        this.#queues.delete(id);
      }
    } catch {
      // The same as an end: whoever listens goes on over another stream.
    }
    this.end();
  }

  async #fetch({
    headers,
    ...more
  }: {
    method?: string;
    headers?: Record<string, string>;
    body?: string;
  }): Promise<Response> {
    // A signal of its own: Node warns of a signal's eleventh listener.
    const signal = AbortSignal.any([this.#stop.signal]);
    const all = { ...this.#headers(), ...headers };
    const response = await fetch(this.#connection.url, { ...more, headers: all, redirect: "manual", signal }).catch(
      (cause: unknown) => {
        throw new UnansweredError("The server did not answer.", { cause });
      },
    );
    if (response.ok) return response;
    const refusal = await refusalIn(response);
    // A stream that this server does not know: another one has reserved it, or it has ended.
    throw response.status === 404 ? new UnansweredError("HTTP 404", { cause: refusal }) : refusal;
  }

  #headers(): Record<string, string> {
    return { ...headersOf(this.#connection), ...(this.#token === "" ? {} : { [TOKEN_HEADER]: this.#token }) };
  }
}
