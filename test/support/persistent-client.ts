import { once, setMaxListeners } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "graphql-ws";
import { WebSocket } from "ws";
import { z } from "zod";
import type { Protocol } from "./live.ts";

/**
 * A subscriber that reconnects whenever its connection breaks, to any of the servers, and continues from its last
 * event.
 */
export interface PersistentClient {
  /** The events that it received, each as `jobId version`. */
  readonly record: readonly string[];
  /** The snapshots that it received, in the same form. */
  readonly snapshots: readonly string[];
  /** An error other than a broken connection; undefined if there was none. */
  readonly failure: unknown;
  /** How often it has connected. */
  readonly connections: number;
  stop(): Promise<void>;
}

export interface SubscriptionRequest {
  /** The servers; each connection picks one at random. */
  readonly urls: readonly string[];
  /** A subscription with a variable `after`, and the alias `change` for its field. */
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** The fields that the subscription must select. */
export const CHANGE_FIELDS = "kind cursor version job { jobId }";

const payload = z.object({
  change: z.object({
    kind: z.enum(["SNAPSHOT", "EVENT"]),
    cursor: z.string(),
    version: z.int(),
    job: z.object({ jobId: z.string() }),
  }),
});

/** The connection broke, which this client expects. */
class ConnectionBroken extends Error {}

export function persistentClient(protocol: Protocol, request: SubscriptionRequest): PersistentClient {
  const subscriber = new Subscriber(request, protocol === "graphql-sse" ? overSse : overWs);
  subscriber.start();
  return subscriber;
}

/** Opens one connection, and calls back with the data of each result. Rejects with ConnectionBroken when it breaks. */
type Connect = (
  url: string,
  request: SubscriptionRequest,
  after: string | undefined,
  onResult: OnResult,
  signal: AbortSignal,
) => Promise<void>;
/** @param id the event id from the transport, which is a cursor; undefined over WebSocket. */
type OnResult = (data: unknown, id?: string) => void;

class Subscriber implements PersistentClient {
  readonly record: string[] = [];
  readonly snapshots: string[] = [];
  failure: unknown;
  connections = 0;
  readonly #request: SubscriptionRequest;
  readonly #connect: Connect;
  readonly #stopping = new AbortController();
  #after: string | undefined;
  #running: Promise<void> | undefined;

  constructor(request: SubscriptionRequest, connect: Connect) {
    this.#request = request;
    this.#connect = connect;
  }

  start(): void {
    // Every HTTP request of Node adds a listener and keeps it after its end; Node would warn of a leak.
    setMaxListeners(0, this.#stopping.signal);
    this.#running = this.#run().catch((error: unknown) => {
      this.failure = error;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const url = this.#request.urls[Math.floor(Math.random() * this.#request.urls.length)] ?? "";
      this.connections += 1;
      try {
        await this.#connect(url, this.#request, this.#after, (data, id) => this.#receive(data, id), signal);
      } catch (error) {
        if (!(error instanceof ConnectionBroken)) throw error;
      }
      await sleep(20 + Math.random() * 180, undefined, { signal }).catch(() => undefined);
    }
  }

  #receive(data: unknown, id: string | undefined): void {
    if (data !== undefined) {
      const { kind, cursor, version, job } = payload.parse(data).change;
      (kind === "EVENT" ? this.record : this.snapshots).push(`${job.jobId} ${version}`);
      this.#after = cursor;
      if (id !== undefined && id !== cursor) throw new Error("An event's id is not its cursor.");
    }
    if (id !== undefined) this.#after = id;
  }
}

/** Like a browser's EventSource: by GET, continuing with the header last-event-id. */
const overSse: Connect = async (url, { query, variables }, after, onResult, signal) => {
  const address = new URL(url);
  address.searchParams.set("query", query);
  address.searchParams.set("variables", JSON.stringify(variables));
  const headers = { accept: "text/event-stream", ...(after === undefined ? {} : { "last-event-id": after }) };
  const sent = request(address, { headers, agent: false, signal });
  sent.on("error", () => undefined);
  sent.end();
  const response = await once(sent, "response").then(
    ([answer]: IncomingResponse[]) => answer,
    () => undefined,
  );
  if (!response) throw new ConnectionBroken();
  if (response.statusCode !== 200) throw new Error(`The server answered ${response.statusCode}.`);
  response.setEncoding("utf8");
  let text = "";
  try {
    for await (const part of response) {
      text += String(part);
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) readBlock(block, onResult);
    }
  } catch (error) {
    if (error instanceof Error && "code" in error) throw new ConnectionBroken();
    throw error;
  }
  throw new ConnectionBroken();
};

type IncomingResponse = import("node:http").IncomingMessage;

function readBlock(block: string, onResult: OnResult): void {
  const fields = new Map(
    block.split("\n").map((line) => [line.split(": ")[0] ?? "", line.slice(line.indexOf(": ") + 2)]),
  );
  if (fields.get("event") === "complete") throw new Error("The server completed the stream.");
  const data = fields.get("data");
  const id = fields.get("id");
  if (data !== undefined) onResult(dataOf(JSON.parse(data)), id);
  else if (id !== undefined) onResult(undefined, id);
}

/** Over WebSocket, continuing with the cursor of the last change as `after`. */
const overWs: Connect = async (url, { query, variables }, after, onResult, signal) => {
  const client = createClient({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazy: true,
  });
  const stream = client.iterate({ query, variables: { ...variables, ...(after === undefined ? {} : { after }) } });
  const stop = () => void stream.return?.();
  signal.addEventListener("abort", stop);
  try {
    for await (const result of stream) onResult(dataOf(result));
  } catch (error) {
    if (isBreak(error)) throw new ConnectionBroken();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await client.dispose();
  }
  if (!signal.aborted) throw new Error("The server completed the operation.");
};

/** Whether this is a close event for a reason other than a mistake of the client, or an error of the connection. */
function isBreak(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  if ("code" in error && typeof error.code === "number") return [1001, 1005, 1006, 1012].includes(error.code);
  return "type" in error && error.type === "error";
}

const result = z.object({ data: z.unknown(), errors: z.unknown().optional() });

function dataOf(value: unknown): unknown {
  const { data, errors } = result.parse(value);
  if (errors !== undefined) throw new Error(`The server answered ${JSON.stringify(errors)}.`);
  return data;
}
